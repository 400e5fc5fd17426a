"""The model card: what a stranger must know before using a model.

Owns: its facts, its numbers from verdicts, the block that the Hub reads, its text from a
template. Does not own: where the facts come from (``workflows.publish``), the files beside
it (``folder``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field

from tfclassify.augmentations.catalogue import describe_chosen
from tfclassify.backbones.origins import describe_licence
from tfclassify.files import Document
from tfclassify.pages import wording
from tfclassify.pages.recipe_facts import describe_network
from tfclassify.pages.rendering import Fact
from tfclassify.pages.scores import is_telling
from tfclassify.recipe.schema import PhaseRecipe, Recipe
from tfclassify.scoring.intervals import Interval
from tfclassify.scoring.judgement import ClassScore
from tfclassify.scoring.verdicts import Verdict

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
#: Our metric -> the name that the Hub's evaluation tables know it by.
_HUB_METRICS = {"accuracy": "accuracy", "f1_macro": "f1", "precision_macro": "precision"}
_HUB_METRICS |= {"recall_macro": "recall", "auc": "roc_auc"}
#: Most classes whose scores stand in a table of the card.
_MOST_CLASSES = 200
_MARKUP = re.compile(r"([\\`*_\[\]<>|#~])")


class ArtefactFacts(Document):
    """An artefact that lies beside the model.

    Attributes:
        folder: Its folder within the published one.
        format: Name of its form.
        precision: How its numbers are stored.
        size_bytes: Of the model's file.
    """

    folder: str
    format: str
    precision: str
    size_bytes: int


class CardFacts(Document):
    """What the card tells that the files beside it do not.

    Attributes:
        version: Of tfclassify.
        address: ``hf:user/name``; empty for a folder.
        license: Terms of the model, as whoever publishes it says; may be empty.
        source: What the images were, without the path to them.
        images: Usable images by split.
        epochs: Epochs trained; None for an ensemble.
        training_seconds: Of all epochs; None for an ensemble.
        macs: Multiply-accumulates of one image.
        flops: Floating-point operations of one image.
        params: Numbers in the network.
        uncounted: Operations that are in neither, and how many.
        samples: Whether samples are photos of the data, and not drawn.
        artefacts: Other forms of the model in the folder.
    """

    version: str
    address: str = ""
    license: str = ""
    source: str
    images: dict[str, int]
    epochs: int | None = None
    training_seconds: float | None = None
    macs: int
    flops: int
    params: int
    uncounted: dict[str, int] = Field(default={})
    samples: bool = False
    artefacts: tuple[ArtefactFacts, ...] = ()


def write_card(
    facts: CardFacts, verdicts: Sequence[Verdict], recipe: Recipe, classes: Sequence[str]
) -> str:
    """Write the card as Markdown, the block of metadata on top.

    Args:
        facts: What the scores do not say.
        verdicts: Of each held-out split, the headline's last; may be empty.
        recipe: What the model was trained with, without private paths.
        classes: In the order of the probabilities.

    Returns:
        The same text for the same content.
    """
    metadata = yaml.safe_dump(
        make_metadata(facts, verdicts, recipe), sort_keys=False, allow_unicode=True, width=100
    )
    last = verdicts[-1] if verdicts else None
    body = (
        _open_templates()
        .get_template("card.md")
        .render(
            facts=facts,
            recipe=recipe,
            classes=list(classes),
            verdicts=verdicts,
            last=last,
            network=[*describe_network(recipe), *_describe_cost(facts)],
            augmentations=describe_chosen(recipe.augment),
            phases=[_describe_phase(phase) for phase in recipe.phases],
            class_scores=[] if last is None else last.headline.class_scores[:_MOST_CLASSES],
            weakest=_find_weakest(last),
            weights=describe_licence(recipe.model),
            address=facts.address or "FOLDER",
        )
    )
    return f"---\n{metadata}---\n\n{body.strip()}\n"


def make_metadata(facts: CardFacts, verdicts: Sequence[Verdict], recipe: Recipe) -> dict[str, Any]:
    """Return what the Hub reads: its task, its library, terms, and a ``model-index``."""
    metadata: dict[str, Any] = {
        "pipeline_tag": "image-classification",
        "library_name": "keras",
        "tags": ["tfclassify", "keras", "image-classification"],
    }
    if facts.license:
        metadata["license"] = facts.license
    if recipe.task == "multi_label":
        metadata["tags"].append("multi-label")
    results = [
        {
            "task": {"type": "image-classification"},
            "dataset": {
                "name": facts.source,
                "type": re.sub(r"[^a-z0-9]+", "-", facts.source.lower()).strip("-") or "images",
                "split": verdict.split,
            },
            "metrics": list(_list_metrics(verdict, recipe.metric)),
        }
        for verdict in verdicts
    ]
    if results:
        metadata["metrics"] = [_HUB_METRICS.get(recipe.metric, recipe.metric)]
        metadata["model-index"] = [{"name": recipe.name, "results": results}]
    return metadata


def _list_metrics(verdict: Verdict, first: str) -> Iterator[dict[str, Any]]:
    """List the scores that have a value, the recipe's own on top."""
    scores = verdict.headline.metrics
    for name in sorted(scores, key=lambda each: each != first):
        interval = scores[name]
        if interval.value is None or not is_telling(name, len(verdict.answers.classes)):
            continue
        yield {
            "type": _HUB_METRICS.get(name, name),
            "name": f"{wording.title_of(name, verdict.headline.task)}, "
            + _describe_interval(name, interval),
            "value": round(interval.value, 6),
        }


def _describe_interval(name: str, interval: Interval) -> str:
    ends = wording.format_range(name, interval)
    level = f"{100 * interval.level:g} % interval {ends}, " if interval.low is not None else ""
    return f"{level}{wording.count_of(interval.n, 'image')}"


def _describe_cost(facts: CardFacts) -> list[Fact]:
    cost = f"{wording.format_large(facts.macs)}MACs, {wording.format_large(facts.flops)}FLOPs"
    if facts.uncounted:
        cost += f"; not counted: {', '.join(facts.uncounted)}"
    return [Fact("Parameters", f"{facts.params:,}"), Fact("Cost of an image", cost)]


def _describe_phase(phase: PhaseRecipe) -> Fact:
    part = phase.train if isinstance(phase.train, str) else "a part of the network"
    text = f"{wording.count_of(phase.epochs, 'epoch')}, {phase.optimizer}, "
    text += f"learning rate {phase.learning_rate:g}, trains {part}"
    return Fact(phase.name, text)


def _find_weakest(verdict: Verdict | None) -> ClassScore | None:
    """Return the class that is found least often; None where no class has a recall."""
    if verdict is None:
        return None
    scores: Sequence[ClassScore] = verdict.headline.class_scores
    recalls = [
        (each.recall.value, place)
        for place, each in enumerate(scores)
        if each.recall.value is not None
    ]
    return scores[min(recalls)[1]] if recalls else None


@lru_cache
def _open_templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # nosec B701 - Markdown; what comes from outside is escaped by md
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: "" if value is None else value,
    )
    environment.filters |= {
        "md": escape_markdown,
        "seconds": wording.format_seconds,
        "bytes": wording.format_bytes,
    }
    environment.globals |= {
        "count_of": wording.count_of,
        "format_range": wording.format_range,
        "format_score": wording.format_score,
        "is_telling": is_telling,
        "title_of": wording.title_of,
    }
    return environment


def escape_markdown(text: object) -> str:
    r"""Write a text so that Markdown shows it as it is, on one line.

    >>> escape_markdown("a|b <i>")
    'a\\|b \\<i\\>'
    """
    return _MARKUP.sub(r"\\\1", " ".join(wording.clean_text(str(text)).split()))
