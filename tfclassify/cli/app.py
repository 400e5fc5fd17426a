"""The Typer app: every command of ``tfclassify``, with the options that all of them share.

Owns: which commands there are, in which order. Does not own: the process (``main``).
"""

from __future__ import annotations

import typer

from tfclassify import __version__
from tfclassify.cli import artefacts, data, judge, labelling, network, several, show, train

app = typer.Typer(
    name="tfclassify",
    help="Image classification by transfer learning: from a recipe to a trusted model, "
    "a report and a submission.",
    epilog="A first training: tfclassify new flowers --data photos/ && "
    "tfclassify train flowers.yaml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for add in (
    train.train,
    train.check,
    train.lr,
    train.preview,
    judge.evaluate,
    judge.predict,
    judge.submit,
    show.explain,
    show.demo,
    show.serve,
    several.crossval,
    several.compare,
    several.ensemble,
    several.runs,
    several.tune,
    data.inspect,
    data.new,
    data.pack,
    data.schema,
    labelling.label,
    labelling.agree,
    labelling.clean,
    network.backbones,
    network.profile,
    artefacts.export,
    artefacts.compress,
    artefacts.publish,
    artefacts.verify,
):
    add(app)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"tfclassify {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
    debug: bool = typer.Option(
        False, "--debug", help="Show a traceback if it fails; may stand after the command too."
    ),
) -> None:
    pass  # `main` takes --debug out of the words before they come here
