"""Options that several commands share, each spelt and explained once."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Annotated

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also show every task's time.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="With --resume: resume although recipe, images or versions have changed."
    ),
]
Executor = Annotated[
    str, typer.Option("--executor", help="Where the jobs run: here, processes or ray.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Jobs at once; default: one a core.")
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", help="Threads of each job; default: TensorFlow's own number."),
]
Address = Annotated[
    str | None, typer.Option("--address", help="Of a Ray cluster: HOST:PORT or auto.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe key: phases[1].epochs=3."),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Which column of a table holds what, where it is taken wrongly: "
        "file=Id,label=Genre; also group, split, weight, one_hot=A+B.",
    ),
]


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


Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="Short for --set model.backbone=NAME.",
        autocompletion=complete_backbones,
    ),
]
ImageSize = Annotated[
    str | None,
    typer.Option("--image-size", help="Short for --set data.image_size=…: 224, or HEIGHTxWIDTH."),
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", min=1, help="At most so many in each phase: --set phases[].epochs=…."),
]
Recipe = Annotated[
    str,
    typer.Argument(help="A recipe, or images: a folder, an archive or a table.", metavar="RECIPE"),
]
RunPath = Annotated[
    Path,
    typer.Argument(help="A run, such as reports/plants/001.", autocompletion=complete_runs),
]
Tta = Annotated[
    bool | None,
    typer.Option("--tta/--no-tta", help="Average over the recipe's views; default: if it has any."),
]
