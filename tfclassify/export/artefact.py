"""An artefact: a model in another form, with all that using it needs, in one folder.

Owns: what lies in the folder, its README, writing it only once it is proved, and reading it
again as a bundle is read. Does not own: the forms (``formats``), the comparison (``proof``).

    artefact.json   input, classes, thresholds, temperature, proof, checksums
    model.onnx      or another form's file or folder; preprocessing and views inside
    labels.txt      the classes, one a line, in the order of the probabilities
    predict.py      says what is on photos; needs network.py, NumPy and Pillow
    network.py      runs the model; needs its runtime
    recipe.json     the recipe that the model was trained with
    README.md       what goes in, what comes out
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfclassify.backbones.origins import describe_licence
from tfclassify.backbones.saved_models import check_saved_model
from tfclassify.export.formats import SHIPPED, ArtefactFormat, Draft
from tfclassify.export.proof import Agreement, Exam, judge_artefact, run_artefact
from tfclassify.export.reading import (
    FACTS,
    FORMAT,
    RECIPE,
    OpenNetwork,
    is_artefact,
    list_files,
    read_facts,
    sum_facts,
)
from tfclassify.export.shipped import predict
from tfclassify.files import build_folder, hash_file, to_plain, write_json, write_text
from tfclassify.inference.views import View, ViewModel, build_view_model
from tfclassify.model.bundle import FACTS as BUNDLE_FACTS
from tfclassify.model.bundle import Bundle, list_sums, load_bundle, read_recipe
from tfclassify.model.keras_files import load_keras_file
from tfclassify.recipe.schema import Recipe, TtaRecipe
from tfclassify.runs.directory import RunDirectory


@dataclass(frozen=True)
class Artefact:
    """An artefact that was written.

    Attributes:
        folder: Where it lies.
        format: Name of its form.
        precision: ``float32``, ``float16``, ``int8`` or ``int8-dynamic``.
        size_bytes: Size of the model's file or folder.
        agreement: What the proof found.
    """

    folder: Path
    format: str
    precision: str
    size_bytes: int
    agreement: Agreement


def write_artefact(
    folder: Path,
    form: ArtefactFormat,
    bundle: Bundle,
    exam: Exam,
    *,
    tta: TtaRecipe | None = None,
    precision: str = "float32",
    batch: int | None = None,
    calibration: np.ndarray | None = None,
    floats: Sequence[str] = (),
    scores: Mapping[str, Any] | None = None,
) -> Artefact:
    """Write an artefact, run it in a fresh process, and keep it if it agrees.

    Args:
        folder: Where to; what is there is replaced, by a whole artefact only.
        form: Its form.
        bundle: The model.
        exam: Photos and what the bundle says of them under the same views.
        tta: Views to put inside.
        precision: A float32 artefact must give the bundle's own labels and probabilities.
        batch: Images a call; 0 for any number; None for what the form is used with.
        calibration: int8: images ``(n, H, W, 3)`` uint8 of the training split.
        floats: int8: regular expressions of layers that stay in float.
        scores: The headline of the run's ``metrics.json``, for the README.

    Raises:
        ExportError: If the network cannot be converted, or the artefact disagrees.
    """
    if tta is not None:  # probabilities, whatever a competition's server wants
        tta = tta.model_copy(update={"average": "mean"})
    views = build_view_model(bundle.model, tta)
    facts = {
        "format": FORMAT,
        "artefact": form.name,
        "file": form.file,
        "precision": precision,
        "batch": form.default_batch if batch is None else batch,
        **_list_facts(bundle),
        "temperature": bundle.temperature if tta is None else bundle.views_temperature,
        "views": list(views.names),
    }
    labels = "".join(f"{name}\n" for name in bundle.classes)
    texts = {"labels.txt": labels, FACTS: json.dumps(facts, ensure_ascii=False)}
    with build_folder(folder) as work:
        file = work / form.file
        form.write(file, Draft(views, texts, precision, facts["batch"], calibration, tuple(floats)))
        _add_program(work, form, bundle, texts)
        found = run_artefact(work, exam.answers.files, form.refused, str(folder))
        agreement = judge_artefact(str(folder), bundle.recipe, exam, found, precision)
        files = list_files(file)
        size = sum(path.stat().st_size for path in files)
        facts |= {"proof": to_plain(asdict(agreement)), "size_bytes": size}
        facts["sha256"] = {
            path.relative_to(work).as_posix(): hash_file(path) for path in (*files, work / RECIPE)
        }
        write_json(work / FACTS, {**facts, "checksum": sum_facts(facts)})
        write_text(work / "README.md", write_readme(form, bundle, facts, scores))
    return Artefact(folder, form.name, precision, size, agreement)


def _add_program(
    work: Path, form: ArtefactFormat, bundle: Bundle, texts: Mapping[str, str]
) -> None:
    """Put what answers by the model beside it: the program, its facts, labels and recipe."""
    for name, text in texts.items():
        write_text(work / name, text)
    write_json(work / RECIPE, bundle.recipe.model_dump(mode="json"))
    shutil.copyfile(SHIPPED / "predict.py", work / "predict.py")
    shutil.copyfile(form.network, work / "network.py")


def _list_facts(bundle: Bundle) -> dict[str, Any]:
    """Return what whoever runs a model must know of it, whatever its form."""
    return {
        "task": bundle.recipe.task,
        "classes": list(bundle.classes),
        "image_size": list(bundle.image_size),
        "resize": bundle.resize,
        "max_pixels": bundle.max_pixels,
        "thresholds": _name_thresholds(bundle),
        "input": "images: float32 (n, height, width, 3), RGB 0..255",
        "output": "probabilities: float32 (n, classes)",
    }


def replace_recipe(folder: Path, recipe: Recipe) -> None:
    """Put another text of the recipe into an artefact, such as one without private paths.

    Raises:
        TargetError: If there is no artefact.
        BundleError: If it is damaged.
    """
    facts = read_facts(folder)
    write_json(folder / RECIPE, recipe.model_dump(mode="json"))
    facts["sha256"][RECIPE] = hash_file(folder / RECIPE)
    write_json(folder / FACTS, {**facts, "checksum": sum_facts(facts)})


def _name_thresholds(bundle: Bundle) -> dict[str, float] | None:
    limits = bundle.label_thresholds
    if limits is None:
        return None
    return dict(zip(bundle.classes, limits.tolist(), strict=True))


class ArtefactModel(ViewModel):
    """An artefact's network, to be asked where a Keras model with its views would be.

    Attributes:
        input_shape: ``(None, height, width, 3)``.
        output_shape: ``(None, classes)``.
    """

    def __init__(self, facts: Mapping[str, Any], folder: Path) -> None:
        self._network = OpenNetwork(facts, folder)
        self._batch = int(facts["batch"])
        height, width = facts["image_size"]
        self.image_size = (int(height), int(width))
        self.classes = len(facts["classes"])
        self.input_shape = (None, *self.image_size, 3)
        self.output_shape = (None, self.classes)
        self.views = tuple(View(name) for name in facts["views"])
        self.is_summed = False

    def probabilities(self, images: Any) -> np.ndarray:
        """Return probabilities ``(b, classes)`` of images ``(b, H, W, 3)`` 0..255."""
        return predict.ask(self._network, self._batch, np.asarray(images, np.float32))

    def plain_and_mean(self, images: Any) -> np.ndarray:
        """Return what the artefact says twice, ``(b, 2, classes)``: it has one answer."""
        return np.repeat(self.probabilities(images)[:, None], 2, axis=1)


def load_artefact(folder: Path) -> Bundle:
    """Load an artefact so that it is evaluated and asked as a bundle is.

    Raises:
        TargetError: If there is none.
        BundleError: If it is damaged, changed, or could run code.
        MissingExtraError: If its runtime is not installed.
    """
    facts = read_facts(folder)
    file = folder / facts["file"]
    if facts["artefact"] == "savedmodel":
        check_saved_model(file)
    if facts["artefact"] == "keras":
        load_keras_file(file)  # its own program looks at nothing
    height, width = facts["image_size"]
    return Bundle(
        ArtefactModel(facts, folder),
        tuple(facts["classes"]),
        (int(height), int(width)),
        facts["resize"],
        int(facts["max_pixels"]),
        read_recipe(folder / RECIPE),
        facts["temperature"],
        facts["thresholds"],
        folder,
        facts["temperature"],
    )


def open_bundle(path: Path) -> Bundle:
    """Load the model of a run, a bundle or an artefact, whichever the folder is.

    Raises:
        TargetError: If it is none of them, or the run has no model yet.
        BundleError: If its model is damaged, changed, or could run code.
    """
    return load_artefact(path) if is_artefact(path) else load_bundle(find_bundle(path))


def hash_model(path: Path) -> str:
    """Return a SHA-256 of the model that ``open_bundle`` would load; a copy has the same.

    Thresholds and temperature are no part of it.

    Raises:
        TargetError: If there is none.
        BundleError: If what it says of itself is damaged or was changed.
    """
    sums = read_facts(path)["sha256"] if is_artefact(path) else list_sums(find_bundle(path))
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()


def find_bundle(path: Path) -> Path:
    """Return the bundle that a folder is, or that a run holds.

    Raises:
        TargetError: If it is neither, or the run has no model yet.
    """
    if (path / BUNDLE_FACTS).is_file():
        return path
    return RunDirectory.open(path, needs_bundle=True).bundle_dir


_FIRST_CLASSES = 12
_RESIZES = {
    "stretch": "its shape is changed to fit",
    "crop": "its centre is cut out to fit",
    "letterbox": "it is shrunk whole and centred on black",
}


def write_readme(
    form: ArtefactFormat, bundle: Bundle, facts: Mapping[str, Any], scores: Mapping[str, Any] | None
) -> str:
    """Write the README of an artefact as Markdown.

    Args:
        form: Its form.
        bundle: The model that it was made of.
        facts: What its ``artefact.json`` holds.
        scores: The headline of the run's ``metrics.json``, or None.
    """
    height, width = bundle.image_size
    batch = f"exactly {facts['batch']}" if facts["batch"] else "any number of"
    names = list(bundle.classes)
    shown = ", ".join(names[:_FIRST_CLASSES])
    shown += f" and {len(names) - _FIRST_CLASSES} more" if len(names) > _FIRST_CLASSES else ""
    parts = [
        f"# {bundle.recipe.name}: {form.title}, {facts['precision']}",
        f"`pip install {form.needs} numpy pillow`, then `python predict.py photo.jpg`.",
        f"- **Model**: `{form.file}`, {facts['size_bytes']:,} bytes.\n"
        f"- **Input** `images`: float32 `(n, {height}, {width}, 3)`, {batch} images, RGB from 0 to "
        f"255. The scaling that the network wants is inside. A photo of another size is resized "
        f"bilinearly with antialiasing; {_RESIZES[bundle.resize]}. `predict.py` reads photos as "
        "in training.\n"
        f"- **Output** `probabilities`: float32 `(n, {len(names)})`, one for each line of "
        f"`labels.txt`: {shown}.\n"
        f"- **Label**: {_describe_choice(bundle, facts['temperature'])}\n"
        f"- **Views**: {_describe_views(facts['views'])}",
        "## Scores",
        _describe_scores(scores),
        _describe_proof(facts["proof"], facts["precision"]),
        "## Licence of the weights",
        describe_licence(bundle.recipe.model),
    ]
    return "\n\n".join(parts) + "\n"


def _describe_choice(bundle: Bundle, temperature: float | None) -> str:
    if bundle.task.is_multi_label:
        return "every class whose probability reaches its threshold in `artefact.json`."
    told = "the class with the greatest probability."
    if temperature is not None:
        told += (
            f" For calibrated probabilities, divide the logarithms by the temperature "
            f"{temperature:.4f} and apply softmax again."
        )
    return told


def _describe_views(views: list[str]) -> str:
    if len(views) == 1:
        return "the plain image."
    return f"the mean of {len(views)} views inside the file: {', '.join(views)}."


def _describe_scores(scores: Mapping[str, Any] | None) -> str:
    if not scores or scores.get("value") is None:
        return "None are known."
    interval = ""
    if scores.get("low") is not None:
        interval = f" ({scores['low']:.4f} to {scores['high']:.4f}, 95 % interval)"
    views = "the plain image" if scores["views"] == 1 else f"{scores['views']} views"
    return (
        f"The model's {scores['metric']} on {scores['n']} {scores['split']} images, with {views}: "
        f"{scores['value']:.4f}{interval}."
    )


def _describe_proof(proof: Mapping[str, Any], precision: str) -> str:
    told = (
        f"This file was run in a process without its toolkit on {proof['images']} images "
        f"({proof['source']}) before it was written: {proof['labels_changed']} labels differ from "
        f"the model's, and probabilities by {proof['largest_difference']:.2g} at most."
    )
    difference = proof["difference"]
    if not precision.startswith("float32") and difference and difference["value"] is not None:
        told += f" Its {proof['metric']} is {difference['value']:+.4f} from the model's"
        if difference["low"] is not None:
            told += f" ({difference['low']:+.4f} to {difference['high']:+.4f})"
        told += " on them."
    return told
