"""A recipe in a dozen lines of plain words.

Owns: what of a recipe a reader of a report wants to know, and its wording.
Does not own: the recipe (``recipe``), the page (``run_sections``).
"""

from __future__ import annotations

from typing import Literal

from tfclassify.augmentations.catalogue import describe_chosen
from tfclassify.pages.rendering import Fact
from tfclassify.pages.wording import count_of
from tfclassify.recipe.names import OUTSIDE_SOURCES
from tfclassify.recipe.schema import (
    DEFAULT_LOSSES,
    AugmentRecipe,
    HeadRecipe,
    ModelRecipe,
    PhaseRecipe,
    Recipe,
    TrainPartRecipe,
    TtaRecipe,
)

_RESIZE = {
    "stretch": "stretched to it",
    "crop": "cropped to its shape",
    "letterbox": "padded to its shape",
}


def describe_network(recipe: Recipe, parameters: int | None = None) -> tuple[Fact, ...]:
    """Say what network a recipe builds.

    Args:
        recipe: The recipe.
        parameters: All parameters of the network; None if they were not counted.
    """
    height, width = recipe.data.image_size
    facts = [
        *_describe_backbones(recipe.model),
        Fact(
            "Input",
            f"{width} × {height} pixels{', grey' if recipe.model.colour == 'grey' else ''}; "
            f"images {_RESIZE[recipe.data.resize]}",
        ),
        Fact("Head", _describe_head(recipe.model.head)),
        Fact("BatchNorm", _describe_batch_norm(recipe)),
    ]
    if recipe.model.channels:
        count = len(recipe.model.channels)
        facts.append(Fact("Channels", f"fewer than its own in {count_of(count, 'layer')}"))
    if recipe.model.padding == "symmetric":
        facts.append(Fact("Padding", "alike on every side"))
    if recipe.model.start_from:
        facts.append(Fact("Starts from", recipe.model.start_from))
    if parameters is not None:
        facts.append(Fact("Parameters", f"{parameters:,}"))
    return tuple(facts)


def _describe_backbones(model: ModelRecipe) -> tuple[Fact, ...]:
    """Say what each backbone is and which weights it starts from."""
    members = model.stack or (model,)
    texts = [
        f"{part.backbone}, {_describe_weights(part.backbone, part.weights)}" for part in members
    ]
    if not model.stack:
        return (Fact("Backbone", texts[0]),)
    return tuple(Fact(f"Backbone {number}", text) for number, text in enumerate(texts, start=1))


def _describe_weights(backbone: str, weights: str) -> str:
    if weights == "none":
        return "no pretrained weights"
    if weights == "imagenet":
        return "its own weights" if backbone.startswith(OUTSIDE_SOURCES) else "ImageNet weights"
    return f"weights of {weights}"


def _describe_head(head: HeadRecipe) -> str:
    parts = ["flatten" if head.pool == "flatten" else f"{head.pool} pooling"]
    if head.dropout:
        parts.append(f"dropout {head.dropout:g}")
    if head.dense:
        layers = ", ".join(str(units) for units in head.dense)
        extra = ", BatchNorm" if head.batch_norm else ""
        parts.append(f"dense {layers} ({head.activation}{extra})")
    parts += [f"{name} {value:g}" for name, value in (("L1", head.l1), ("L2", head.l2)) if value]
    if head.final_dropout:
        parts.append(f"final dropout {head.final_dropout:g}")
    return ", ".join(parts)


def _describe_batch_norm(recipe: Recipe) -> str:
    model = recipe.model
    kept = {
        model.batch_norm == "frozen" or (model.batch_norm == "auto" and part.weights != "none")
        for part in (model.stack or (model,))
    }
    if len(kept) == 2:
        return "kept in inference mode where pretrained, else trained"
    return "kept in inference mode" if kept == {True} else "trained"


def describe_training(recipe: Recipe, kept_phase: str | None = None) -> tuple[Fact, ...]:
    """Say how a recipe trains: augmentation, loss, batches, phases, views.

    Args:
        recipe: The recipe.
        kept_phase: Name of the phase whose weights the run has; None if it is not known.
    """
    weights = recipe.class_weights
    facts = [
        Fact("Augmentation", _describe_augmentation(recipe.augment)),
        Fact("Mixing", _describe_mixing(recipe.augment)),
        Fact("Class weights", weights if isinstance(weights, str) else "as given in the recipe"),
        Fact("Loss", _describe_loss(recipe)),
        Fact("Batch", _describe_batch(recipe.batch_size)),
    ]
    if recipe.distil is not None:
        distil = recipe.distil
        facts.append(
            Fact(
                "Teacher",
                f"{distil.teacher}, {100 * distil.alpha:g} % of the loss at temperature "
                f"{distil.temperature:g}",
            )
        )
    facts += [Fact(f"Phase {phase.name}", _describe_phase(phase)) for phase in recipe.phases]
    if recipe.keep_phase == "best" and kept_phase is not None:
        facts.append(Fact("Best phase", f"{kept_phase}, by {recipe.metric} on validation; kept"))
    if recipe.mining is not None:
        delta, ceiling = recipe.mining.delta, recipe.mining.ceiling
        facts.append(Fact("Hard examples", f"weight + {delta:g} at each miss, up to {ceiling:g}"))
    if recipe.tta is not None:
        facts.append(Fact("Views", _describe_views(recipe.tta)))
    return (*facts, Fact("Seed", str(recipe.seed)))


def _describe_batch(size: int | Literal["auto"]) -> str:
    return "as many images as fit" if size == "auto" else count_of(size, "image")


def _describe_loss(recipe: Recipe) -> str:
    loss = recipe.loss
    kind = loss.custom or (DEFAULT_LOSSES[recipe.task] if loss.kind == "auto" else loss.kind)
    text = kind.replace("binary_", "binary ").replace("cross_entropy", "cross-entropy")
    if kind == "focal":
        text += f", gamma {loss.gamma:g}"
    if kind == "asymmetric":
        text += (
            f", gamma {loss.gamma_positive:g} where a class is there and "
            f"{loss.gamma_negative:g} where not, clip {loss.clip:g}"
        )
    if loss.label_smoothing:
        text += f", label smoothing {loss.label_smoothing:g}"
    return text


def _describe_augmentation(augment: AugmentRecipe) -> str:
    parts = describe_chosen(augment)
    if augment.engine != "native" and parts:
        parts.append(f"by {augment.engine}")
    return ", ".join(parts) or "none"


def _describe_mixing(augment: AugmentRecipe) -> str:
    pairs = (("CutMix", augment.mix.cutmix), ("MixUp", augment.mix.mixup))
    parts = [f"{name} for {100 * chance:g} % of images" for name, chance in pairs if chance]
    return ", ".join(parts) or "none"


def _describe_phase(phase: PhaseRecipe) -> str:
    parts = [
        f"{describe_trained_part(phase)}, up to {count_of(phase.epochs, 'epoch')}",
        f"{phase.optimizer} at {phase.learning_rate:g}",
    ]
    if phase.image_size is not None:
        parts.append("images of {}x{}".format(*phase.image_size))
    if phase.batch_size is not None:
        parts.append(f"batches of {_describe_batch(phase.batch_size)}")
    if phase.schedule.custom is not None:
        parts.append(f"schedule {phase.schedule.custom}")
    elif phase.schedule.kind != "constant":
        parts.append(f"{phase.schedule.kind.replace('_', '-')} schedule")
    if phase.layer_decay is not None:
        parts.append(f"times {phase.layer_decay:g} for each block further from the head")
    if phase.accumulate > 1:
        parts.append(f"steps of {phase.accumulate} batches")
    if phase.weight_decay:
        parts.append(f"weight decay {phase.weight_decay:g}")
    if phase.clip_norm:
        parts.append(f"gradients clipped at {phase.clip_norm:g}")
    if phase.ema is not None:
        parts.append(f"moving average of the weights, decay {phase.ema:g}")
    if phase.swa is not None:
        parts.append(f"ends with the mean of its last {phase.swa} epochs")
    if phase.quantise:
        parts.append("rounded to 8 bits")
    if phase.prune is not None:
        share = f"{100 * phase.prune.sparsity:g} % of the weights"
        parts.append(f"{share} set to zero ({phase.prune.method})")
    if phase.features is not None:
        parts.append(f"on {count_of(phase.features.views, 'cached view')} of each image")
    if phase.early_stopping is not None:
        patience = count_of(phase.early_stopping.patience, "epoch")
        parts.append(f"stops after {patience} without a better {phase.early_stopping.metric}")
    return ", ".join(parts)


def describe_curves(recipe: Recipe) -> str:
    """Say what the training scores of a recipe's epochs are measured on."""
    augment = recipe.augment
    is_augmented = any(phase.augment for phase in recipe.phases) and bool(
        augment.model_dump(exclude_defaults=True).keys() - {"engine", "mix"}
    )
    is_mixed = any(phase.mix for phase in recipe.phases) and bool(
        augment.mix.cutmix or augment.mix.mixup
    )
    words = [word for word, is_on in (("augmented", is_augmented), ("mixed", is_mixed)) if is_on]
    if not words:
        return "Training scores are measured during the epoch, while the weights still change."
    return (
        f"Training scores are measured on {' and '.join(words)} images during the epoch, so they "
        f"may lie below validation."
    )


def describe_trained_part(phase: PhaseRecipe) -> str:
    """Say what a phase trains, such as ``head`` or ``head and last 2 blocks``."""
    if not isinstance(phase.train, TrainPartRecipe):
        return "head" if phase.train == "head" else "all layers"
    if phase.train.last_blocks is not None:
        return f"head and last {count_of(phase.train.last_blocks, 'block')}"
    return f"all but the first {count_of(phase.train.freeze_layers or 0, 'layer')}"


def _describe_views(tta: TtaRecipe) -> str:
    parts = [f"{axis} flip" for axis in tta.flips]
    if tta.shift:
        parts.append(f"shifts by {100 * tta.shift:g} %")
    if tta.rotations:
        parts.append("rotations by " + ", ".join(f"{angle}°" for angle in tta.rotations))
    if tta.zoom:
        parts.append("zooms of " + ", ".join(f"{100 * zoom:g} %" for zoom in tta.zoom))
    joined = "each with every other" if tta.combine == "product" else "each on its own"
    return f"{', '.join(parts)}; {joined}" if parts else "the plain image"
