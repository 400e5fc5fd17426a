"""How a function of the API becomes a command: its parameters are the arguments and options.

Owns: what each parameter is called and read as, its help, its default, and the call. Does not
own: what is printed of a result, which stands beside each command.
"""

from __future__ import annotations

import ast
import glob
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from tfclassify.api.progress import choose_observer
from tfclassify.cli.output import show

Result = TypeVar("Result")
Parameter = inspect.Parameter

#: What a parameter is read as by the names in its annotation; the first that is there counts.
_KINDS: Mapping[str, type] = {
    "PathLike": Path,
    "AnyPath": Path,
    "Source": str,
    "Given": str,
    "ImageInput": str,
    "Changes": str,
    "Columns": str,
    "Size": str,
    "str": str,
    "float": float,
    "int": int,
    "bool": bool,
}
_SEVERAL = {"Sequence", "Changes"}


def command(
    function: Callable[..., Any],
    example: str,
    *,
    own: Sequence[Parameter] = (),
    **spelling: Mapping[str, Any],
) -> Callable[[Callable[..., str | None]], Callable[[typer.Typer], None]]:
    """Make a command of a function of the API and of one that writes its result.

    What may stand by its place is an argument, the rest are options; names, defaults, choices
    and help are the function's own.

    Args:
        function: Of ``api``.
        example: A call of the command, for its help.
        own: What the command alone has: how its answer is shown.
        **spelling: By parameter, what Typer is to be told besides: ``min``, ``metavar``,
            ``autocompletion``; ``words`` to spell it otherwise, ``kind`` to read it otherwise.

    Returns:
        A decorator. The function that it takes gets the result, and by name those words of
        the command that it has parameters for; with ``as_json`` among them there is an option
        ``--json``. What it returns is printed. In its place stands what adds the command.
    """

    def decorate(write: Callable[..., str | None]) -> Callable[[typer.Typer], None]:
        asked = list(inspect.signature(write).parameters)[1:]

        def run(**words: Any) -> None:
            result = call(function, words)
            text = write(result, **{name: words[name] for name in asked})
            if text is not None:
                show(text)

        parameters = [*_list_parameters(function, spelling), *own]
        if "as_json" in asked:
            parameters.append(_make_flag("as_json", "Print the result as JSON.", "--json"))
        if "progress" in inspect.signature(function).parameters:
            parameters += _SHOWN
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        summary = (inspect.getdoc(function) or "").split("\n\n")[0]

        def add(app: typer.Typer) -> None:
            app.command(
                function.__name__, help=_to_help(summary, ()), epilog=f"Example: {example}"
            )(run)

        return add

    return decorate


def call(function: Callable[..., Result], words: Mapping[str, Any]) -> Result:
    """Call a function of the API by the words of its command.

    What was not given keeps the function's default, a choice becomes its text, and ``quiet``
    and ``verbose`` choose who shows the progress.
    """
    bound = inspect.signature(function).bind_partial()
    for name, parameter in bound.signature.parameters.items():
        if name == "progress":
            bound.arguments[name] = choose_observer(not words["quiet"], verbose=words["verbose"])
            continue
        value = words[name]
        if value is None:
            continue
        if isinstance(value, list):
            value = [getattr(each, "value", each) for each in value]
        is_spread = parameter.kind is Parameter.VAR_POSITIONAL
        bound.arguments[name] = tuple(value) if is_spread else getattr(value, "value", value)
    return function(*bound.args, **bound.kwargs)


def _list_parameters(
    function: Callable[..., Any], spelling: Mapping[str, Mapping[str, Any]]
) -> Iterator[Parameter]:
    """Return what Typer is told of a function's parameters."""
    parameters = inspect.signature(function).parameters
    options = [each.name for each in parameters.values() if each.kind is Parameter.KEYWORD_ONLY]
    meanings = _read_meanings(inspect.getdoc(function) or "")
    for name, parameter in parameters.items():
        if name == "progress":
            continue
        facts = {**_OFTEN.get(name, {}), **spelling.get(name, {})}
        kind, is_several = _find_kind(parameter.annotation)
        is_several = is_several or parameter.kind is Parameter.VAR_POSITIONAL
        if "kind" in facts:
            kind, is_several = facts.pop("kind"), False
        facts["help"] = _to_help(meanings[name], options)
        default = facts.pop("default", parameter.default)
        if is_several:
            kind = list[kind]  # type: ignore[valid-type]
            is_needed = default is Parameter.empty and name in options
            if not (is_needed or parameter.kind is Parameter.POSITIONAL_OR_KEYWORD):
                default = None
        option = "--" + name.replace("_", "-")
        if kind is bool and default is not False:
            option += f"/--no-{option[2:]}"
        words = facts.pop("words", (option,))
        told = typer.Option(*words, **facts) if name in options else typer.Argument(**facts)
        yield Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            annotation=Annotated[kind if default is not None else kind | None, told],
            default=default,
        )


def _make_flag(name: str, meaning: str, *words: str) -> Parameter:
    told = Annotated[bool, typer.Option(*words, help=meaning)]
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=told, default=False)


_SHOWN = (
    _make_flag("quiet", "Show errors only.", "--quiet", "-q"),
    _make_flag("verbose", "Also show every task's time.", "--verbose", "-v"),
)


def _find_kind(annotation: str) -> tuple[Any, bool]:
    """Return what an annotation is read as, and whether it may be given several times."""
    tree = ast.parse(annotation, mode="eval")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    choices = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    texts = [choice for choice in choices if isinstance(choice, str)]
    is_several = bool(names & _SEVERAL)
    if "Literal" in names:
        return StrEnum("Choice", {text: text for text in texts}), is_several
    return next(kind for name, kind in _KINDS.items() if name in names), is_several


def _read_meanings(text: str) -> dict[str, str]:
    """Return what a docstring says of each parameter."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
    entries = re.findall(
        r"^    \*?(\w+): (.*(?:\n     +.*)*)", section[1] if section else "", re.MULTILINE
    )
    return {name: " ".join(meaning.split()) for name, meaning in entries}


def _to_help(text: str, options: Sequence[str]) -> str:
    """Write a text of a docstring for the command line, without what only Python can give."""

    def spell(found: re.Match[str]) -> str:
        name = found[1]
        return f"--{name.replace('_', '-')}" if name in options else name

    text = re.sub(r"; from Python [^.;]*", "", " ".join(text.split()))
    return re.sub(r"``(.+?)``", spell, text)


def complete_backbones(incomplete: str) -> list[str]:
    """Name the backbones that begin so, for the shell."""
    from tfclassify.recipe.names import list_backbone_names

    return [name for name in list_backbone_names() if name.startswith(incomplete)]


def complete_runs(incomplete: str) -> list[str]:
    """Name the folders that begin so, and the runs in them, for the shell."""
    start = glob.escape(incomplete or "reports/")
    patterns = (f"{start}*", f"{start}*/[0-9]*")  # absolute or not, as Path.glob cannot
    found = [path for pattern in patterns for path in glob.glob(pattern)]  # noqa: PTH207
    return sorted(path for path in found if Path(path).is_dir())


#: What Typer is told of a parameter in whichever command it stands.
_OFTEN: Mapping[str, dict[str, Any]] = {
    "run": {"autocompletion": complete_runs},
    "runs": {"autocompletion": complete_runs},
    "backbone": {"autocompletion": complete_backbones},
    "set": {"metavar": "KEY=VALUE"},
    "epochs": {"min": 1},
    "port": {"min": 0, "max": 65535},
}
