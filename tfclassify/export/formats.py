"""The forms that a model can be exported in.

Owns: the registry, and how each built-in form is written. Does not own: what lies beside
the model's file (``artefact``), the proof that it agrees (``proof``).

What writes is imported when it writes, so that running an artefact needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.errors import ExportError, RequestError
from tfclassify.recipe.names import list_announced, load_announced
from tfclassify.recipe.wording import suggest

if TYPE_CHECKING:
    from tfclassify.export.saved_model import Graph
    from tfclassify.inference.views import ViewModel

PRECISIONS = ("float32", "float16", "int8", "int8-dynamic")
#: float32 without the zeros of kernels, which LiteRT's kernels for sparse networks skip.
SPARSE = "float32-sparse"
#: The folder of the programs that lie beside a model.
SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Draft:
    """What a form's writer is given.

    Attributes:
        views: The network, images ``(b, H, W, 3)`` 0..255 to probabilities, and its views.
        texts: Texts to carry inside the file, by file name: ``labels.txt`` and
            ``artefact.json``.
        precision: One of ``PRECISIONS``, or ``SPARSE``.
        batch: Images a call; 0 for any number.
        calibration: int8: images ``(n, H, W, 3)`` uint8 to take ranges from, else None.
        floats: int8: regular expressions of layers that stay in float.
    """

    views: ViewModel
    texts: Mapping[str, str]
    precision: str = "float32"
    batch: int = 0
    calibration: np.ndarray | None = None
    floats: tuple[str, ...] = ()

    def trace(self) -> Graph:
        """Trace the network with its views."""
        from tfclassify.export.saved_model import Graph

        return Graph(self.views, self.batch or None)


@dataclass(frozen=True)
class ArtefactFormat:
    """One form of a model.

    Attributes:
        name: What a command says.
        title: What people say.
        file: Name of the model's file or folder within the artefact.
        needs: What running it needs, as one installs it, NumPy and Pillow left out.
        network: The program that is shipped as ``network.py``; its class ``Network`` is
            made from the file and called with images ``(n, H, W, 3)`` float32 0..255.
        write: Writes the file.
        check_extra: Raises where what writing needs is not installed.
        precisions: Which it can be written in.
        default_batch: Images a call where none is asked for; 0 for any number.
        refused: Packages that running it must not need; the proof forbids them.
    """

    name: str
    title: str
    file: str
    needs: str
    network: Path
    write: Callable[[Path, Draft], None]
    check_extra: Callable[[], object] = lambda: None
    precisions: tuple[str, ...] = PRECISIONS
    default_batch: int = 0
    refused: tuple[str, ...] = ("tfclassify", "tensorflow", "keras", "tf_keras")

    @property
    def is_light(self) -> bool:
        """Whether it runs without TensorFlow."""
        return "tensorflow" in self.refused


def _write_saved_model(path: Path, draft: Draft) -> None:
    from tfclassify.export.saved_model import write_saved_model

    write_saved_model(path, draft.trace(), dict(draft.texts))


def _write_keras(path: Path, draft: Draft) -> None:
    from tfclassify.model.bundle import list_hub_layers

    hub = next(list_hub_layers(draft.views.model), None)
    if hub is not None:
        raise ExportError(
            f"{path.name}: the network runs the hub module {hub.module!r}, and a .keras file holds "
            "Keras' own layers only; use --format savedmodel, litert or onnx"
        )
    draft.views.build_keras_model(draft.batch).save(path)


def _write_litert(path: Path, draft: Draft) -> None:
    from tfclassify.export.litert_file import write_litert

    write_litert(
        path,
        draft.trace(),
        draft.texts,
        precision=draft.precision,
        calibration=draft.calibration,
        floats=draft.floats,
    )


def _write_onnx(path: Path, draft: Draft) -> None:
    from tfclassify.export.onnx_file import write_onnx

    write_onnx(
        path,
        draft.trace(),
        draft.texts,
        precision=draft.precision,
        calibration=draft.calibration,
        floats=draft.floats,
    )


def _check_litert() -> None:
    from tfclassify.export.litert_file import import_litert

    import_litert()


def _check_onnx() -> None:
    from tfclassify.export.onnx_file import import_onnx

    import_onnx()


#: Every form, by its name.
ARTEFACT_FORMATS: dict[str, ArtefactFormat] = {
    form.name: form
    for form in (
        ArtefactFormat(
            "savedmodel",
            "SavedModel",
            "model",
            "tensorflow",
            SHIPPED / "savedmodel_network.py",
            _write_saved_model,
            precisions=("float32",),
            refused=("tfclassify",),
        ),
        ArtefactFormat(
            "litert",
            "LiteRT",
            "model.tflite",
            "ai-edge-litert",
            SHIPPED / "litert_network.py",
            _write_litert,
            _check_litert,
            precisions=(*PRECISIONS, SPARSE),
            default_batch=1,
        ),
        ArtefactFormat(
            "onnx",
            "ONNX",
            "model.onnx",
            "onnxruntime",
            SHIPPED / "onnx_network.py",
            _write_onnx,
            _check_onnx,
        ),
        ArtefactFormat(
            "keras",
            "Keras",
            "model.keras",
            "tensorflow keras",
            SHIPPED / "keras_network.py",
            _write_keras,
            precisions=("float32",),
            refused=("tfclassify",),
        ),
    )
}


def register_artefact_format(form: ArtefactFormat) -> None:
    """Add a form to those that ``export`` knows.

    Raises:
        RequestError: If its name is taken.
    """
    if form.name in ARTEFACT_FORMATS:
        raise RequestError(
            f"artefact format {form.name!r}: there is one of this name; choose another name"
        )
    ARTEFACT_FORMATS[form.name] = form


def list_formats() -> tuple[str, ...]:
    """Return the names of all forms, those of installed packages last."""
    return tuple(dict.fromkeys((*ARTEFACT_FORMATS, *list_announced("artefact_formats"))))


def get_format(name: str, where: str = "--format") -> ArtefactFormat:
    """Look a form up, here or among what installed packages announce.

    Args:
        name: The form.
        where: Who asks, for the message.

    Raises:
        RequestError: If there is none of that name, or a package announces something else.
    """
    form = ARTEFACT_FORMATS.get(name) or load_announced("artefact_formats", name)
    if form is None:
        names = list_formats()
        hint = suggest(name, names) or ";"
        raise RequestError(f"{where}: unknown format {name!r}{hint} allowed are {', '.join(names)}")
    if not isinstance(form, ArtefactFormat):
        raise RequestError(
            f"{where}: entry point {name!r} of tfclassify.artefact_formats must be an "
            f"ArtefactFormat, got {type(form).__name__}; mend the package that announces it"
        )
    return form


def check_request(form: ArtefactFormat, precision: str, batch: int | None) -> None:
    """Refuse what a form cannot be.

    Raises:
        RequestError: If it has no such precision or batch.
        MissingExtraError: If what writing it needs is not installed.
    """
    if precision not in form.precisions:
        raise RequestError(
            f"--precision: {form.name} cannot be {precision!r}, allowed are "
            f"{', '.join(form.precisions)}; litert and onnx have all of {', '.join(PRECISIONS)}"
        )
    if batch is not None and batch < 0:
        raise RequestError(f"--batch: must be 0, for any number, or more, got {batch}")
    form.check_extra()
