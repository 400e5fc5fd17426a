"""Answers as tables and folders that other programs read, and back.

Owns: two forms of table, folders by class, matching rows to images. Does not own: journals
(``session``), the tables of what is settled (``data.consensus``).

    columns     file,label,sublabel,marks,note,labeller,seconds,at   one row an answer
    original    Name;Label;Sublabel;Extra;Author;                    codes, and marks as bits
    folders     <label>/<file>                                       copies of the photos
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tfclassify.data.folders import clean_path, read_folder
from tfclassify.data.journals import Answer
from tfclassify.errors import DataError, RequestError
from tfclassify.files import build_folder, guard_formula, read_regular, render_csv, write_text
from tfclassify.labelling.vocabulary import Vocabulary
from tfclassify.recipe.data_schema import JOINING_SIGN

Form = Literal["columns", "original", "folders"]
FORMS: tuple[Form, ...] = ("columns", "original", "folders")
_COLUMNS = ("file", "label", "sublabel", "marks", "note", "labeller", "seconds", "at")
#: Each line of it ends with a separator.
_ORIGINAL = ("Name", "Label", "Sublabel", "Extra", "Author", "")
#: Its sub-label where the label has none.
_NO_SUBLABEL = "0"
_MOST_BYTES = 1 << 30


def write_table(path: Path, answers: Iterable[Answer], vocabulary: Vocabulary, form: Form) -> int:
    """Write answers as a table, atomically; skipped images are left out.

    Args:
        path: The file to write.
        answers: One row each.
        vocabulary: Its codes and bits are those of the form ``original``.
        form: ``columns`` or ``original``.

    Returns:
        How many rows there are.
    """
    import pandas as pd  # slow to import

    rows = [answer for answer in answers if not answer.is_skipped]
    is_original = form == "original"
    list_cells = _list_original_cells if is_original else _list_cells
    cells = [list_cells(answer, vocabulary) for answer in rows]
    names = list(_ORIGINAL if is_original else _COLUMNS)
    table = pd.DataFrame(cells, columns=names, dtype=object)
    write_text(path, render_csv(table, separator=";" if is_original else ","))
    return len(rows)


def _list_cells(answer: Answer, vocabulary: Vocabulary) -> tuple[str, ...]:
    marks = [name for name in vocabulary.mark_names if name in answer.marks]
    return (
        answer.image,
        JOINING_SIGN.join(answer.labels),
        answer.sublabel,
        JOINING_SIGN.join(marks),
        answer.note,
        answer.labeller,
        f"{answer.seconds:.3f}",
        answer.at,
    )


def _list_original_cells(answer: Answer, vocabulary: Vocabulary) -> tuple[str, ...]:
    codes, finer = [], _NO_SUBLABEL
    for name in answer.labels:
        label = vocabulary.labels[vocabulary.positions[name]]
        codes.append(label.code or name)
        finer = next(
            (each.code or each.name for each in label.sublabels if each.name == answer.sublabel),
            finer,
        )
    bits = str(vocabulary.join_bits(answer.marks))
    return (answer.image, JOINING_SIGN.join(codes), finer, bits, answer.labeller, "")


def write_folders(
    folder: Path, settled: Mapping[str, Sequence[str]], paths: Mapping[str, str]
) -> int:
    """Copy photos into one folder a class.

    Args:
        folder: The folder to make; it must not be there yet.
        settled: The labels that count, by the image's name; images without one are left out.
        paths: Where each image is.

    Returns:
        How many photos were copied.

    Raises:
        RequestError: If the folder is there, an image has several labels, or a label cannot
            name a folder.
        OSError: If a photo cannot be copied; nothing is left behind then.
    """
    if folder.exists():
        raise RequestError(f"{folder}: is there already and is not overwritten; name another")
    for image, labels in settled.items():
        if len(labels) > 1:
            raise RequestError(
                f"{image}: has {len(labels)} labels, and a photo is in one folder; use --form "
                "columns, whose cells join labels"
            )
        if labels and (clean_path(labels[0]) != labels[0] or "/" in labels[0]):
            raise RequestError(f"label {labels[0]!r}: cannot name a folder; rename it")
    chosen = {image: labels[0] for image, labels in settled.items() if labels and image in paths}
    with build_folder(folder) as place:
        for image, label in chosen.items():
            target = place / label / image
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(paths[image], target)
    return len(chosen)


@dataclass(frozen=True)
class Taken:
    """What was found in somebody's table or folders.

    Attributes:
        answers: By labeller, then by the image's name.
        strangers: Names in it that are no images of the source.
    """

    answers: Mapping[str, Mapping[str, Answer]]
    strangers: tuple[str, ...]


def read_answers(path: Path, names: Iterable[str], vocabulary: Vocabulary, labeller: str) -> Taken:
    """Read answers that were written by ``write_table`` or ``write_folders``, or alike.

    Args:
        path: A table with one of the two heads, or a folder with one folder a class.
        names: The images of the source.
        vocabulary: What may be said of them.
        labeller: Whose answers they are where the table does not say.

    Raises:
        RequestError: If it is neither, or is not there.
        DataError: If a row says what the vocabulary does not have.
    """
    rows = _read_folders(path) if path.is_dir() else _read_table(path, vocabulary)
    known = set(names)
    by_ending = {name.rpartition("/")[2]: name for name in sorted(known, reverse=True)}
    answers: dict[str, dict[str, Answer]] = {}
    strangers: list[str] = []
    for place, said in rows:
        name = said.image if said.image in known else by_ending.get(said.image.rpartition("/")[2])
        if name is None:
            strangers.append(said.image)
            continue
        fault = vocabulary.find_fault(said.labels, said.sublabel, said.marks)
        if fault:
            raise DataError(f"{place}: {fault}")
        who = said.labeller or labeller
        answers.setdefault(who, {})[name] = Answer(**{**vars(said), "image": name, "labeller": who})
    return Taken(answers, tuple(strangers))


_Rows = Iterable[tuple[str, Answer]]


def _read_folders(folder: Path) -> _Rows:
    listing = read_folder(folder, str(folder))
    for row in listing.rows:
        if row.label:
            # The reader names an image from the folder on, and the source knows it without.
            image = row.image.removeprefix(f"{row.label}/")
            yield row.place, Answer(image, "", (row.label,))


def _read_table(path: Path, vocabulary: Vocabulary) -> _Rows:
    try:
        text = read_regular(path, limit=_MOST_BYTES).decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); name a CSV") from error
    head = tuple(text.partition("\n")[0].strip().split(";"))
    is_original = {cell.casefold() for cell in _ORIGINAL[:2]} <= {cell.casefold() for cell in head}
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if is_original else ",")
    columns = [name.strip() for name in reader.fieldnames or []]
    needed = _ORIGINAL[:2] if is_original else _COLUMNS[:2]
    if not set(needed) <= set(columns):
        raise RequestError(
            f"{path}: the first line must be {','.join(_COLUMNS)} or {';'.join(_ORIGINAL[:-1])}, "
            f"with at least the first two, got {','.join(columns)[:80]!r}"
        )
    read_row = _read_original_row if is_original else _read_row
    for cells in reader:
        place = f"{path}: line {reader.line_num}"
        row = {
            (key or "").strip(): _unguard(value) for key, value in cells.items() if key is not None
        }
        yield place, read_row(row, place, vocabulary)


def _unguard(cell: str | None) -> str:
    """Take off the apostrophe that ``guard_formula`` put before a text."""
    cell = cell or ""
    return cell[1:] if cell[:1] == "'" and guard_formula(cell[1:]) == cell else cell


def _read_row(row: Mapping[str, str], place: str, vocabulary: Vocabulary) -> Answer:
    try:
        seconds = float(row.get("seconds") or 0.0)
    except ValueError:
        raise DataError(f"{place}: seconds must be a number, got {row['seconds']!r}") from None
    return Answer(
        row["file"],
        row.get("labeller", ""),
        _split(row["label"]),
        row.get("sublabel", ""),
        frozenset(_split(row.get("marks", ""))),
        row.get("note", ""),
        seconds=seconds,
    )


def _split(cell: str) -> tuple[str, ...]:
    return tuple(part for part in cell.split(JOINING_SIGN) if part)


def _read_original_row(row: Mapping[str, str], place: str, vocabulary: Vocabulary) -> Answer:
    codes = {label.code: label.name for label in vocabulary.labels if label.code}
    labels = tuple(codes.get(code, code) for code in _split(row["Label"]))
    sublabel = row.get("Sublabel", "")
    if len(labels) == 1 and labels[0] in vocabulary.positions:
        finer = vocabulary.labels[vocabulary.positions[labels[0]]].sublabels
        sublabel = {each.code: each.name for each in finer if each.code}.get(sublabel, sublabel)
        if sublabel == _NO_SUBLABEL and not any(each.name == sublabel for each in finer):
            sublabel = ""
    marks = _read_bits(row.get("Extra", ""), place, vocabulary)
    return Answer(row["Name"], row.get("Author", ""), labels, sublabel, marks)


def _read_bits(cell: str, place: str, vocabulary: Vocabulary) -> frozenset[str]:
    try:
        bits = int(cell or 0)
    except ValueError:
        bits = -1
    unknown = bits & ~sum(mark.bit for mark in vocabulary.marks)
    if bits < 0 or unknown:
        known = ", ".join(f"{mark.name} {mark.bit}" for mark in vocabulary.marks)
        raise DataError(
            f"{place}: Extra must be a sum of the marks' bits ({known or 'none'}), got {cell!r}"
        )
    return frozenset(mark.name for mark in vocabulary.marks if mark.bit & bits)
