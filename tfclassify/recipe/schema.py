"""The shape of a recipe: its top level, and the small sections.

Owns: the frozen models of the top level, each default in one place. Does not own: the
larger sections (``data_schema``, ``augment_schema``, ``model_schema``, ``phase_schema``),
files, lines, ``--set`` (``loading``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfclassify.recipe.augment_schema import AugmentRecipe, ErasingRecipe, MixRecipe
from tfclassify.recipe.data_schema import CocoRecipe, ColumnsRecipe, DataRecipe
from tfclassify.recipe.fields import Rate, Section, Share
from tfclassify.recipe.model_schema import HeadRecipe, LayerRecipe, ModelRecipe, StackMemberRecipe
from tfclassify.recipe.phase_schema import (
    EarlyStoppingRecipe,
    FeaturesRecipe,
    PhaseRecipe,
    ScheduleRecipe,
    TrainPartRecipe,
)

__all__ = [
    "AugmentRecipe",
    "CocoRecipe",
    "ColumnsRecipe",
    "DataRecipe",
    "EarlyStoppingRecipe",
    "ErasingRecipe",
    "FeaturesRecipe",
    "HeadRecipe",
    "LayerRecipe",
    "LossRecipe",
    "MiningRecipe",
    "MixRecipe",
    "ModelRecipe",
    "PhaseRecipe",
    "Recipe",
    "RuntimeRecipe",
    "ScheduleRecipe",
    "Section",
    "StackMemberRecipe",
    "TrainPartRecipe",
    "TtaRecipe",
]


class LossRecipe(Section):
    """The training loss."""

    kind: Literal["auto", "cross_entropy", "binary_cross_entropy", "focal", "asymmetric"] = Field(
        "auto",
        description="auto: cross_entropy, or binary_cross_entropy for task multi_label.",
    )
    label_smoothing: Share = Field(0.0, description="Label smoothing.")
    gamma: Annotated[float, Field(ge=0, le=10)] = Field(
        2.0, description="How much focal turns away from what is right already."
    )
    gamma_positive: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0, description="The same for asymmetric, where the class is there."
    )
    gamma_negative: Annotated[float, Field(ge=0, le=10)] = Field(
        4.0, description="The same for asymmetric, where the class is not there."
    )
    clip: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="Probability below which asymmetric leaves an absent class alone."
    )


class MiningRecipe(Section):
    """Hard-example mining: images weigh more each time they are missed in training."""

    delta: Rate = Field(0.5, description="What a miss adds to an image's weight.")
    ceiling: Rate = Field(3.0, description="Largest weight of an image.")


class TtaRecipe(Section):
    """Test-time augmentation: the views of each image, and how they are joined."""

    flips: tuple[Literal["horizontal", "vertical"], ...] = Field((), description="Flips.")
    shift: Share = Field(0.0, description="Shifts up, down, left and right by this fraction.")
    shift_fill: Literal["roll", "reflect", "constant"] = Field(
        "reflect", description="What a shift moves in."
    )
    rotations: tuple[Literal[90, 180, 270], ...] = Field((), description="Degrees.")
    zoom: tuple[Annotated[float, Field(gt=-1, lt=1)], ...] = Field(
        (), description="Zooms, as in augment.zoom."
    )
    combine: Literal["each", "product"] = Field(
        "each", description="each: one change a view; product: flips with every other change."
    )
    average: Literal["probabilities", "sum"] = Field(
        "probabilities", description="Mean of probabilities, or their plain sum (same label)."
    )


class RuntimeRecipe(Section):
    """How the work is run; none of it changes what is learnt, but for rounding."""

    deterministic: bool = Field(True, description="Bit-identical runs, at some cost in time.")
    mixed_precision: bool = Field(False, description="float16 compute; for GPUs.")
    jit: bool = Field(False, description="XLA; slower on a CPU.")
    tensorboard: bool = Field(False, description="Also write TensorBoard logs.")


class Recipe(Section):
    """A whole recipe."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)] = Field(
        description="Name of the runs' folder: letters, digits, dot, dash and underscore."
    )
    description: str = Field("", description="One line for the report.")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="Seed of everything.")
    task: Literal["multi_class", "multi_label"] = Field(
        "multi_class", description="multi_class: one label an image; multi_label: any number."
    )
    data: DataRecipe = Field(description="The images.")
    augment: AugmentRecipe = Field(AugmentRecipe(), description="Training-time augmentation.")
    model: ModelRecipe = Field(description="The network.")
    loss: LossRecipe = Field(LossRecipe(), description="The loss.")
    class_weights: Literal["none", "balanced"] | dict[str, Rate] = Field(
        "none",
        description="none, balanced, or {class: weight}. In multi_label, weights of the images "
        "that have the class against those that do not.",
    )
    batch_size: Annotated[int, Field(ge=1, le=65536)] = Field(32, description="Images a step.")
    metric: str = Field("accuracy", description="The metric that headlines the report.")
    phases: Annotated[tuple[PhaseRecipe, ...], Field(min_length=1)] = Field(
        description="Stretches of training, in order."
    )
    keep_phase: Literal["last", "best"] = Field(
        "last",
        description="Which phase's weights the run ends with; best: by metric on validation.",
    )
    mining: MiningRecipe | None = Field(None, description="Hard-example mining.")
    thresholds: Annotated[float, Field(gt=0, lt=1)] | Literal["one", "per_class"] = Field(
        "one",
        description="multi_label: the least probability of a label: a number, one for all "
        "classes that is searched on validation, or one a class.",
    )
    tta: TtaRecipe | None = Field(None, description="Test-time augmentation.")
    runtime: RuntimeRecipe = Field(RuntimeRecipe(), description="How the work is run.")
