"""The README of an artefact: what goes in, what comes out, what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfclassify.backbones.origins import describe_licence
from tfclassify.export.formats import ArtefactFormat
from tfclassify.model.bundle import Bundle

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
