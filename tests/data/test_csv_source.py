from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import write_images
from tfclassify.data.csv_source import (
    LabelColumns,
    Table,
    decode_flags,
    find_label_columns,
    read_csv_source,
    read_list,
    select_by_flags,
    weigh_flags,
)
from tfclassify.data.folders import Listing, Row
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import DataRecipe

FLAGS = {"broken": 1, "blurred": 2, "dark": 4, "lamp": 8, "hard": 16}


def make_data(**keys: Any) -> DataRecipe:
    return DataRecipe(source="x", columns={"flags": "Extra"}, flags=FLAGS, **keys)


@pytest.mark.parametrize(
    ("value", "marks"),
    [
        ("", ()),
        ("0", ()),
        ("1", ("broken",)),
        ("6", ("blurred", "dark")),
        ("20.0", ("dark", "hard")),
        ("31", ("broken", "blurred", "dark", "lamp", "hard")),
    ],
)
def test_bits_are_marks(value: str, marks: tuple[str, ...]) -> None:
    assert decode_flags(value, "t.csv, line 2", make_data()) == marks


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "nan", "inf", "1e300"])
def test_what_is_no_number_of_bits(value: str) -> None:
    with pytest.raises(SourceError, match=r"^t\.csv, line 2: flags must be a whole number .*Extra"):
        decode_flags(value, "t.csv, line 2", make_data())


def test_a_bit_without_a_name() -> None:
    match = r"line 2: flags 96 hold the bit 32, which data\.flags does not name; it has broken 1, "
    with pytest.raises(SourceError, match=match):
        decode_flags("96", "line 2", make_data())


def select(**keys: Any) -> str:
    marks = {"a": (), "b": ("blurred",), "c": ("blurred", "dark"), "d": ("dark",)}
    rows = [Row(name, "", "", flags=flags) for name, flags in marks.items()]
    return "".join(row.image for row in select_by_flags(rows, make_data(**keys)))


def test_images_are_left_out_by_their_marks() -> None:
    assert select() == "abcd"
    assert select(drop_flags=("dark",)) == "ab"
    assert select(drop_flags=("dark", "blurred")) == "a"
    assert select(keep_flags=("dark", "hard")) == "cd"
    assert select(keep_flags=("blurred",), drop_flags=("dark",)) == "b"


def test_weights_of_marks_are_multiplied() -> None:
    data = make_data(flag_weights={"hard": 2.0, "dark": 0.25})
    assert weigh_flags((), data) == 1.0
    assert weigh_flags(("hard", "blurred"), data) == 2.0
    assert weigh_flags(("dark", "hard"), data) == 0.5


def find(header: str, taken: tuple[int, ...] = (0,), **keys: Any) -> LabelColumns | None:
    return find_label_columns(header.split(","), taken, DataRecipe(source="x", **keys), "t.csv")


def one_hot(names: Any) -> dict[str, Any]:
    return {"columns": {"one_hot": names}}


def test_an_image_with_one_label_has_no_such_columns() -> None:
    assert find("file,label") is None


def test_the_rest_of_the_columns_are_classes() -> None:
    columns = find("split,file,cat,dog,eel", (0, 1), **one_hot("rest"))
    assert columns is not None
    assert columns.classes == ("cat", "dog", "eel")
    assert columns.read(["train", "a.png", "1", "0", "1"], "line 2") == ("cat", "eel")
    assert columns.read(["train", "a.png", "0", "0.0", "false"], "line 2") == ()
    assert columns.read(["train", "a.png", " 1 ", "1.0", "True"], "line 2") == columns.classes


def test_named_columns_are_classes_in_the_recipes_order() -> None:
    columns = find("file,cat,age,dog", **one_hot(("dog", "cat")))
    assert columns is not None
    assert columns.classes == ("dog", "cat")
    assert columns.read(["a.png", "1", "77", "0"], "line 2") == ("cat",)


def test_joined_names_are_split() -> None:
    columns = find("file,tags,age", columns={"label": "tags"}, label_separator="; ")
    assert columns is not None
    assert columns.classes == ()
    assert columns.read(["a.png", "dog; cat; dog", "7"], "line 2") == ("dog", "cat")
    assert columns.read(["a.png", "; cat ; ", "7"], "line 2") == ("cat",)
    assert columns.read(["a.png", "", "7"], "line 2") == ()


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("['a', 'b c']", ("a", "b c")),
        ('["a","b"]', ("a", "b")),
        ("['a' 'b']", ("a", "b")),  # as NumPy prints them
        ("[3, 7]", ("3", "7")),
        ("[a, b c, a]", ("a", "b c")),
        (r"['it\'s', 'x\u00e9']", ("it's", "xé")),
        ("[]", ()),
        ("['a', ]", ("a",)),
        ("a", None),
        ("[a", None),
        ("['a', ['b']]", None),
        ("['a'b]", None),
        ("[,]", None),
    ],
)
def test_cells_that_are_lists(cell: str, names: tuple[str, ...] | None) -> None:
    assert read_list(cell) == names


def test_a_list_of_several_where_one_label_is_read(tmp_path: Path) -> None:
    text = "file,label\na.png,\"['x', 'y']\"\n"
    fault(tmp_path, text, r", line 2: \"\['x', 'y'\]\" holds 2 labels, .* set data.label_separator")


def test_a_table_without_the_column_of_joined_names_is_unlabelled() -> None:
    assert find("file,age", columns={"label": None}, label_separator=";") is None


@pytest.mark.parametrize("value", ["2", "", "yes", "0,5", "-1"])
def test_a_mark_is_0_or_1(value: str) -> None:
    columns = find("file,cat", **one_hot("rest"))
    assert columns is not None
    with pytest.raises(SourceError, match=r"^t, line 9: the column 'cat' .* allowed are 0 and 1"):
        columns.read(["a.png", value], "t, line 9")


@pytest.mark.parametrize(
    ("header", "names", "match"),
    [
        ("file", "rest", r"^t\.csv, line 1: every column is a file, group, split or the like"),
        ("file,cat,", "rest", r"column 3 has no name; remove it, or list the columns of classes"),
        ("file,cat,cat", "rest", r"there are two columns 'cat'; rename one"),
        ("file,cat,cat", ("cat",), r"there are two columns 'cat'; rename one"),
        ("file,cat,dog", ("cat", "dgo"), r"no column 'dgo' \(data\.columns\.one_hot\).*mean 'dog'"),
        ("file,cat", ("file", "cat"), r"no column 'file' \(data\.columns\.one_hot\) besides"),
    ],
)
def test_headers_without_what_is_named(header: str, names: Any, match: str) -> None:
    with pytest.raises(SourceError, match=match):
        find(header, **one_hot(names))


GROUPED = {"file": "file", "label": "label", "group": "who", "split": "part", "weight": "w"}


def read(root: Path, text: str | bytes, images: str = "", **keys: Any) -> Listing:
    """Read a table with four images, ``0.png`` to ``3.png``, beside it or in a folder."""
    write_images(root, {images or ".": 4})
    table = root / "labels.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    data = DataRecipe(source="data", **keys)
    return read_csv_source(Table(table, "data/labels.csv", root / images, root), data)


def fault(root: Path, text: str | bytes, match: str, **keys: Any) -> None:
    with pytest.raises(SourceError, match=rf"^data/labels\.csv{match}"):
        read(root, text, **keys)


def test_columns_become_rows(tmp_path: Path) -> None:
    text = "w,who,part,label,file\n2,ann,train,cat,0.png\n0.5,,Val,dog,1.png\n1,bob,,cat,2.png\n"
    rows = read(tmp_path, text, columns=GROUPED).rows
    assert [(r.image, r.label, r.group, r.split, r.weight) for r in rows] == [
        ("0.png", "cat", "ann", "train", 2.0),
        ("1.png", "dog", "", "validation", 0.5),
        ("2.png", "cat", "bob", "", 1.0),
    ]
    assert rows[1].place == "data/labels.csv, line 3"
    assert Path(rows[1].path) == tmp_path / "1.png"


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separators(tmp_path: Path, separator: str) -> None:
    text = f"file{separator}label\n0.png{separator}a, b\n"
    assert read(tmp_path, text, separator=separator).rows[0].label == "a, b"


def test_windows_files_quotes_spaces_and_blank_lines(tmp_path: Path) -> None:
    text = b'\xef\xbb\xbf\r\n file , label \r\n"0.png","cat, ""big"""\r\n\r\n,\r\n 1.png , dog \r\n'
    rows = read(tmp_path, text).rows
    assert [(row.image, row.label) for row in rows] == [("0.png", 'cat, "big"'), ("1.png", "dog")]
    assert rows[1].place.endswith("line 6")


@pytest.mark.parametrize("extension", [".png", "png", ".PNG"])
def test_a_missing_extension_is_added_once(tmp_path: Path, extension: str) -> None:
    listing = read(tmp_path, "file,label\n0,a\n1.png,b\n", extension=extension)
    assert {row.image.lower() for row in listing.rows} == {"0.png", "1.png"}


def test_names_start_at_the_images_folder(tmp_path: Path) -> None:
    listing = read(tmp_path, "file,label\n0.png,a\n./sub/../1.png,b\n", images="photos")
    assert [row.image for row in listing.rows] == ["photos/0.png", "photos/1.png"]
    assert {found.image for found in listing.findings} == {"photos/2.png", "photos/3.png"}


def test_other_spellings_of_a_path_are_understood(tmp_path: Path) -> None:
    write_images(tmp_path, {"sub": 1})
    text = f"file,label\nsub\\0.png,a\n{tmp_path}/1.png,b\n"
    assert [row.image for row in read(tmp_path, text).rows] == ["sub/0.png", "1.png"]


def test_accents_match_however_they_are_composed(tmp_path: Path) -> None:
    write_images(tmp_path, {unicodedata.normalize("NFD", "žába"): 1})
    row = read(tmp_path, "file,label\nžába/0.png,frog\n").rows[0]
    assert row.fault == ""
    assert Path(row.path).is_file()


def test_listed_but_absent_and_there_but_not_listed(tmp_path: Path) -> None:
    listing = read(tmp_path, "file,label\n0.png,a\n9.png,b\n1.png,b\n")
    assert [(row.image, row.fault) for row in listing.rows] == [
        ("0.png", ""),
        ("9.png", "missing"),
        ("1.png", ""),
    ]
    assert {(found.image, found.kind) for found in listing.findings} == {
        ("2.png", "orphan"),
        ("3.png", "orphan"),
    }


def test_listed_twice(tmp_path: Path) -> None:
    listing = read(tmp_path, "file,label\n0.png,a\n./0.png,a\n1.png,a\n1.png,b\n2.png,a\n3.png,a\n")
    assert [(row.image, row.fault) for row in listing.rows] == [
        ("0.png", ""),
        ("1.png", "label_conflict"),
        ("2.png", ""),
        ("3.png", ""),
    ]
    found = listing.findings[0]
    assert (found.image, found.kind) == ("0.png", "listed_twice")
    assert found.detail == "data/labels.csv, line 3"


def test_a_row_without_a_label_is_left_out(tmp_path: Path) -> None:
    listing = read(tmp_path, "file,label\n0.png,a\n1.png,\n2.png,b\n3.png,b\n")
    assert len(listing.rows) == 3
    assert [(f.image, f.kind) for f in listing.findings] == [("1.png", "unlabelled")]


def test_a_table_without_labels_is_unlabelled(tmp_path: Path) -> None:
    columns = {"file": "file", "label": None}
    assert {row.label for row in read(tmp_path, "file\n0.png\n", columns=columns).rows} == {""}
    assert {row.label for row in read(tmp_path, "file,label\n0.png,\n").rows} == {""}


def test_a_wrong_column(tmp_path: Path) -> None:
    fault(
        tmp_path,
        "file,Label,age\n0.png,a,1\n",
        r", line 1: there is no column 'lable' \(data\.columns\.label\), the table has 'file', "
        r"'Label', 'age'; set data\.columns\.label to one of them, or null.* did you mean 'Label'",
        columns={"file": "file", "label": "lable"},
    )
    fault(
        tmp_path,
        "name,label\n0.png,a\n",
        r", line 1: there is no column 'file' \(data\.columns\.file\).*to one of them$",
    )


def test_a_wrong_separator(tmp_path: Path) -> None:
    fault(
        tmp_path,
        "Name;Label\n0.png;a\n",
        r", line 1: the header is one column under the separator ',', got 'Name;Label'; "
        r"set data\.separator: ';'",
    )


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_table(tmp_path: Path, text: str) -> None:
    fault(tmp_path, text, ": the table is empty; expected a line of column names, with 'file'")


def test_a_header_alone(tmp_path: Path) -> None:
    fault(tmp_path, "file,label\n", ": the table has a header and no lines")


def test_a_line_of_another_width(tmp_path: Path) -> None:
    fault(tmp_path, "file,label\n0.png,a,b\n", ", line 2: the line has 3 fields, the header has 2")


def test_no_utf8(tmp_path: Path) -> None:
    fault(
        tmp_path, "file,label\n0.png,žába\n".encode("cp1250"), r": .* not UTF-8 \(byte 17\); save"
    )


def test_broken_quotes(tmp_path: Path) -> None:
    fault(tmp_path, 'file,label\n0.png,"a\n', ", line 2: the line is no valid CSV")


def test_a_table_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").mkdir()
    with pytest.raises(SourceError, match=r"x\.csv: .* read: Is a directory; name a file"):
        read_csv_source(
            Table(tmp_path / "labels.csv", "x.csv", tmp_path, tmp_path), DataRecipe(source="x")
        )


def test_an_empty_name(tmp_path: Path) -> None:
    fault(tmp_path, "file,label\n,a\n", ", line 2: the column 'file' is empty")


@pytest.mark.parametrize(
    "name", ["../0.png", "/etc/passwd", "a/../../0.png", "..", ".", "..\\0.png"]
)
def test_a_path_outside(tmp_path: Path, name: str) -> None:
    fault(
        tmp_path, f"file,label\n{name},a\n", ", line 2: file '.*' lies outside of the images folder"
    )


@pytest.mark.parametrize(
    ("split", "hint"), [("trian", r"; did you mean 'train'\?$"), ("1", "'test' or nothing$")]
)
def test_an_unknown_split(tmp_path: Path, split: str, hint: str) -> None:
    fault(
        tmp_path,
        f"file,label,part\n0.png,a,{split}\n",
        f", line 2: unknown split '{split}', allowed are .*{hint}",
        columns={"file": "file", "label": "label", "split": "part"},
    )


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "much", ""])
def test_a_bad_weight(tmp_path: Path, weight: str) -> None:
    fault(
        tmp_path,
        f"file,label,w\n0.png,a,{weight}\n",
        f", line 2: weight must be a positive number, got '{weight}'",
        columns={"file": "file", "label": "label", "weight": "w"},
    )


def test_no_file_there_because_of_the_extension(tmp_path: Path) -> None:
    fault(
        tmp_path,
        "file,label\n0,a\n1,b\n",
        ": none of the 2 images in the column 'file' is on disk, the first is '0'; the table "
        r"leaves the extension out: set data\.extension: \.png",
    )


def test_no_file_there_at_all(tmp_path: Path) -> None:
    fault(tmp_path, "file,label\nx.png,a\n", r": none of the 1 images .*set data\.images")


def test_columns_of_classes(tmp_path: Path) -> None:
    text = "part,file,cat,eel,dog\ntrain2017,0.png,1,0,1\nval2017,1.png,0,0,0\n"
    columns = {"split": "part", "one_hot": "rest"}
    listing = read(tmp_path, text, columns=columns)
    assert listing.is_multi_label
    assert listing.classes == ("cat", "eel", "dog")
    assert [(row.split, row.label, row.labels) for row in listing.rows] == [
        ("train", "", ("cat", "dog")),
        ("validation", "", ()),
    ]
    # An image without any of the classes is no image without a label.
    assert {found.kind for found in listing.findings} == {"orphan"}


def test_a_column_of_joined_labels(tmp_path: Path) -> None:
    text = "file,label\n0.png,dog;cat\n1.png,\n"
    listing = read(tmp_path, text, label_separator=";")
    assert listing.is_multi_label
    assert listing.classes == ()
    assert [row.labels for row in listing.rows] == [("dog", "cat"), ()]


def test_sets_of_labels_listed_twice(tmp_path: Path) -> None:
    text = "file,label\n0.png,dog cat\n0.png,cat dog\n1.png,cat\n1.png,cat dog\n"
    listing = read(tmp_path, text, label_separator=" ")
    assert [(row.image, row.fault) for row in listing.rows] == [
        ("0.png", ""),
        ("1.png", "label_conflict"),
    ]


def test_what_is_no_mark_is_told_with_its_line(tmp_path: Path) -> None:
    fault(
        tmp_path,
        "file,cat,dog\n0.png,1,0\n1.png,1,?\n",
        r", line 3: the column 'dog' says .* got '\?'",
        columns={"one_hot": "rest"},
    )


def test_labels_of_labellers_with_marks_in_bits(tmp_path: Path) -> None:
    flags = {"broken": 1, "blurred": 2, "dark": 4, "lamp": 8, "hard": 16}
    listing = read(
        tmp_path,
        "Name;Label;Sublabel;Extra;Author\n"
        "0.png;pen;ballpoint;0;ann\n"
        "1.png;ruler;wooden;22;bob\n"
        "2.png;none;;16;ann\n",
        separator=";",
        columns={"file": "Name", "label": "Label", "flags": "Extra", "group": "Author"},
        flags=flags,
        flag_weights={"hard": 2.0, "dark": 0.5},
    )
    assert [(row.label, row.group, row.flags, row.weight) for row in listing.rows] == [
        ("pen", "ann", (), 1.0),
        ("ruler", "bob", ("blurred", "dark", "hard"), 1.0),
        ("none", "ann", ("hard",), 2.0),
    ]


def test_the_weight_column_and_the_marks_are_multiplied(tmp_path: Path) -> None:
    columns = {"weight": "w", "flags": "f"}
    text = "file,label,w,f\n0.png,a,0.5,1\n1.png,b,3,0\n"
    rows = read(tmp_path, text, columns=columns, flags={"x": 1}, flag_weights={"x": 4.0}).rows
    assert [row.weight for row in rows] == [2.0, 3.0]


def test_a_bit_without_a_name_is_told_with_its_line(tmp_path: Path) -> None:
    fault(
        tmp_path,
        "file,label,f\n0.png,a,0\n1.png,b,4\n",
        r", line 3: flags 4 hold the bit 4, which data\.flags does not name; it has dark 1",
        columns={"flags": "f"},
        flags={"dark": 1},
    )


@pytest.mark.parametrize("separator", ['"', "\n", "\r", "\0"])
def test_what_separates_no_table(tmp_path: Path, separator: str) -> None:
    match = r": no table is separated by .* \(data\.separator\); set it"
    fault(tmp_path, "file,label\n0.png,a\n", match, separator=separator)


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "d/" * 3000 + "x.png"])
def test_a_name_too_long_for_a_file_is_missing(tmp_path: Path, name: str) -> None:
    rows = read(tmp_path, f"file,label\n0.png,a\n{name},b\n").rows
    assert [row.fault for row in rows] == ["", "missing"]


def test_the_rest_leaves_out_columns_that_are_no_marks(tmp_path: Path) -> None:
    lines = [f"{number}.png,{number % 2},{20 + number},{(number + 1) % 2}" for number in range(4)]
    listing = read(tmp_path, "\n".join(["file,cat,age,dog", *lines]), columns={"one_hot": "rest"})
    assert listing.classes == ("cat", "dog")
    assert [row.labels for row in listing.rows] == [("dog",), ("cat",)] * 2
    told = [finding.detail for finding in listing.findings if finding.kind == "other_column"]
    assert told == ["column 'age' is no class: line 2 has '20'"]


def test_a_fault_in_a_column_of_marks_is_told_with_its_line(tmp_path: Path) -> None:
    lines = ["0.png,1,0", "1.png,0,1", "2.png,2,0"]
    fault(
        tmp_path,
        "\n".join(["file,cat,dog", *lines]),
        r", line 4: the column 'cat' says whether .* got '2'",
        columns={"one_hot": "rest"},
    )
