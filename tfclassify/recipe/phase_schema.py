"""The section ``phases`` of a recipe: stretches of training.

Owns: its keys, types, defaults and meanings. Does not own: checks across keys
(``checks``), training (``training``).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tfclassify.recipe.fields import Fraction, Rate, Section, Share, to_kind


class EarlyStoppingRecipe(Section):
    """When a phase ends early."""

    metric: str = Field("loss", description="Validation metric that is watched.")
    patience: Annotated[int, Field(ge=1)] = Field(10, description="Epochs without a gain.")
    min_delta: Annotated[float, Field(ge=0)] = Field(0.0, description="Smallest gain.")


class ScheduleRecipe(Section):
    """How the learning rate moves within a phase."""

    kind: Literal["constant", "cosine", "plateau", "one_cycle", "multi_step", "exponential"] = (
        Field("constant", description="Shape.")
    )
    warmup_epochs: Annotated[float, Field(ge=0)] = Field(0.0, description="Linear warm-up.")
    final: Fraction = Field(0.0, description="Last rate of cosine, as a share of the first.")
    metric: str = Field("loss", description="Validation metric that plateau watches.")
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5,
        description="What the rate is multiplied by: when plateau waits in vain, at each "
        "milestone of multi_step, in each epoch of exponential.",
    )
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Epochs after which multi_step lowers the rate."
    )
    peak_at: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.3, description="Share of the phase at which one_cycle reaches its peak."
    )
    start_divisor: Annotated[float, Field(ge=1)] = Field(
        25.0, description="one_cycle starts at the peak over this."
    )
    final_divisor: Annotated[float, Field(ge=1)] = Field(
        1e4, description="one_cycle ends at its start over this."
    )
    patience: Annotated[int, Field(ge=1)] = Field(5, description="Epochs plateau waits.")
    min_rate: Annotated[float, Field(ge=0)] = Field(0.0, description="Floor of plateau.")


class TrainPartRecipe(Section):
    """A part of the backbone that is trained with the head."""

    last_blocks: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Train the last n blocks of the backbone."
    )
    freeze_layers: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Freeze the first n layers of the backbone, train the rest."
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.last_blocks is None) == (self.freeze_layers is None):
            raise ValueError("give exactly one of last_blocks and freeze_layers")
        return self


class FeaturesRecipe(Section):
    """Training on cached backbone features."""

    views: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="Augmented views of each image that are cached."
    )


class PhaseRecipe(Section):
    """One stretch of training."""

    name: Annotated[str, Field(min_length=1)] = Field(description="Name in logs and figures.")
    train: Literal["head", "all"] | TrainPartRecipe = Field(
        "all", description="head, all, {last_blocks: n} or {freeze_layers: n}."
    )
    epochs: Annotated[int, Field(ge=1)] = Field(description="Epochs at most.")
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "adagrad"] = Field(
        "adam", description="Optimizer."
    )
    learning_rate: Rate = Field(1e-3, description="Peak learning rate.")
    weight_decay: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Decoupled weight decay."
    )
    momentum: Share = Field(0.9, description="Momentum of sgd and rmsprop.")
    clip_norm: Rate | None = Field(None, description="Clip the global gradient norm.")
    accumulate: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="Batches whose gradients make one step of the optimizer."
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="Factor of the rate from one block of the backbone to the one before it."
    )
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Decay of an exponential moving average of the weights, a step."
    )
    swa: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Average the weights over the last n epochs of the phase."
    )
    schedule: Annotated[ScheduleRecipe, BeforeValidator(to_kind)] = Field(
        ScheduleRecipe(),
        description="constant, cosine, plateau, one_cycle, multi_step or exponential, and options.",
    )
    early_stopping: EarlyStoppingRecipe | None = Field(None, description="When to stop early.")
    keep_best: str | None = Field(
        "loss",
        description="Validation metric whose best epoch's weights the phase ends with; "
        "null keeps the last epoch's. Where it is left out it follows early_stopping.metric.",
    )
    augment: bool = Field(True, description="Whether augmentation is on.")
    mix: bool = Field(True, description="Whether CutMix and MixUp are on.")
    features: FeaturesRecipe | None = Field(
        None, description="Train the head on cached features (train: head only)."
    )

    @model_validator(mode="after")
    def _check_features(self) -> Self:
        if self.features is not None and self.train != "head":
            raise ValueError("features needs train: head, since the backbone must not change")
        return self
