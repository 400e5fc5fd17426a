"""The sample submission of a competition: its columns, its rows, their images.

Owns: reading it, finding the image of each id, saying what does not match.
Does not own: the predictions that are filled in (``submission``).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Literal

from tfclassify.errors import RequestError, TargetError
from tfclassify.recipe.wording import find_nearest

Mode = Literal["labels", "probabilities"]
_LISTED = 5


@dataclass(frozen=True)
class Template:
    """What a submission table must look like.

    Attributes:
        where: The file it was read from, for messages.
        id_column: Name of the first column.
        value_columns: Names of the other columns, in order.
        ids: Ids in row order, exactly as written.
        samples: Value of the first other column in each row, as written.
        separator: The character between fields.
    """

    where: str
    id_column: str
    value_columns: tuple[str, ...]
    ids: tuple[str, ...]
    samples: tuple[str, ...]
    separator: str


def read_template(path: Path) -> Template:
    """Read a sample submission; its first column holds the ids.

    Raises:
        TargetError: If there is no such file.
        RequestError: If it is not a table of unique ids with a header.
    """
    if not path.is_file():
        raise TargetError(f"{path}: there is no such template; name the sample submission's CSV")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: the template is not UTF-8 text ({error})") from None
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    rows = [row for row in csv.reader(StringIO(text), delimiter=separator) if row]
    if len(rows) < 2 or len(rows[0]) < 2:
        raise RequestError(
            f"{path}: the template needs a header of an id column and at least one other, and "
            f"a row for each image, got the header {header.strip()!r} and {len(rows) - 1} rows"
        )
    columns, body = rows[0], rows[1:]
    for line, row in enumerate(body, start=2):
        if len(row) != len(columns):
            raise RequestError(
                f"{path}, row {line}: has {len(row)} fields, the header has {len(columns)}"
            )
    ids = tuple(row[0] for row in body)
    repeated = sorted({name for name in ids if ids.count(name) > 1}) if _has_repeats(ids) else []
    if repeated:
        raise RequestError(f"{path}: ids are listed more than once: {list_some(repeated)}")
    samples = tuple(row[1] for row in body)
    return Template(str(path), columns[0], tuple(columns[1:]), ids, samples, separator)


def _has_repeats(ids: Sequence[str]) -> bool:
    return len(set(ids)) < len(ids)


def check_columns(template: Template, classes: Sequence[str], mode: Mode) -> None:
    """Check that a template has the columns that the mode fills.

    Raises:
        RequestError: If ``labels`` meets other than one value column, or
            ``probabilities`` meets other columns than the classes.
    """
    columns = template.value_columns
    unknown = [name for name in columns if name not in classes]
    missing = [name for name in classes if name not in columns]
    if mode == "labels":
        if len(columns) != 1:
            advice = "use probabilities" if not unknown else "leave only the label's column"
            raise RequestError(
                f"{template.where}: labels fill one column, the template has {len(columns)} "
                f"beside {template.id_column!r}: {list_some(columns)}; {advice}"
            )
        return
    problems = []
    if unknown:
        named = []
        for name in unknown:
            nearest = find_nearest(name, missing)
            named.append(f"{name!r}" + (f" (did you mean {nearest!r}?)" if nearest else ""))
        problems.append(f"columns that are no class: {list_some(named, quoted=False)}")
    if missing:
        problems.append(f"classes without a column: {list_some(missing)}")
    if len(set(columns)) < len(columns):
        problems.append("a column is there twice")
    if problems:
        raise RequestError(
            f"{template.where}: {'; '.join(problems)}; the classes are {list_some(classes)}"
        )


def match_images(template: Template, folder: Path, files: Sequence[str]) -> list[str]:
    """Find the image file of each id of a template.

    An id is a path below the folder or a bare file name, with or without its
    extension.

    Args:
        template: The sample submission.
        folder: Where the images are.
        files: The images under the folder.

    Returns:
        A file for each id, in row order.

    Raises:
        RequestError: If ids have no image, or an id fits several.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for file in files:
        path = Path(file).relative_to(folder)
        stem = path.with_suffix("")
        for name in {path.as_posix(), path.name, stem.as_posix(), stem.name}:
            by_name[name].append(file)
    missing = [name for name in template.ids if name not in by_name]
    if missing:
        raise RequestError(
            f"{template.where}: {len(missing)} of {len(template.ids)} ids in the column "
            f"{template.id_column!r} have no image under {folder}: {list_some(missing)}; "
            "ids are file names, with or without extension"
        )
    return [_choose(template, folder, name, by_name[name]) for name in template.ids]


def _choose(template: Template, folder: Path, name: str, files: list[str]) -> str:
    exact = [file for file in files if Path(file).relative_to(folder).as_posix() == name]
    if len(files) > 1 and not exact:
        raise RequestError(
            f"{template.where}: the id {name!r} fits several images: {list_some(files)}; "
            "leave one of them in the folder"
        )
    return (exact or files)[0]


def list_some(names: Sequence[str], quoted: bool = True) -> str:
    """Write the first names and how many more there are.

    >>> list_some(["a", "b", "c", "d", "e", "f", "g"])
    "'a', 'b', 'c', 'd', 'e' and 2 more"
    """
    shown = ", ".join(repr(name) if quoted else name for name in names[:_LISTED])
    return shown + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
