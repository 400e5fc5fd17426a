"""The shape of a recipe: every key, its type, its default and its meaning.

Owns: the frozen models, the single place of every default, and the checks that
concern two keys at once. Does not own: files, lines, ``--set`` (``loading``).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tfclassify.recipe.augment_schema import AugmentRecipe, ErasingRecipe, MixRecipe
from tfclassify.recipe.fields import Fraction, ImageSize, Rate, Section, Share, to_kind

__all__ = [
    "AugmentRecipe",
    "ColumnsRecipe",
    "DataRecipe",
    "EarlyStoppingRecipe",
    "ErasingRecipe",
    "FeaturesRecipe",
    "HeadRecipe",
    "LayerRecipe",
    "LossRecipe",
    "MixRecipe",
    "ModelRecipe",
    "PhaseRecipe",
    "Recipe",
    "RuntimeRecipe",
    "ScheduleRecipe",
    "Section",
    "TrainPartRecipe",
    "TtaRecipe",
]


class ColumnsRecipe(Section):
    """Names of the columns of a CSV source."""

    file: str = Field("file", description="Column of image paths.")
    label: str | None = Field("label", description="Column of class names; null if unlabelled.")
    group: str | None = Field(
        None, description="Column whose rows stay on one side of a split (person, site, series)."
    )
    split: str | None = Field(
        None, description="Column that says train, validation or test for each image."
    )
    weight: str | None = Field(None, description="Column of per-image weights, positive.")


class DataRecipe(Section):
    """Where the images are, how they are read and how they are split."""

    source: str = Field(
        description="Folder, zip or tar, CSV, https URL (with sha256), or builtin:digits. "
        "Relative paths start at the working folder, then at the recipe's folder."
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Checksum of an archive or download; required for a URL."
    )
    download_from: str | None = Field(
        None, description="What to tell the user when the source is absent: where to get it."
    )
    table: str | None = Field(
        None, description="CSV inside the source folder or archive, such as images.csv."
    )
    images: str | None = Field(
        None, description="Folder that the table's file column is relative to."
    )
    columns: ColumnsRecipe = Field(ColumnsRecipe(), description="Column names of the table.")
    separator: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        ",", description="Field separator of the table."
    )
    extension: str | None = Field(
        None, description="Extension that the table leaves out, such as .jpg."
    )
    classes: tuple[str, ...] | None = Field(
        None, description="Class names in their order; any other label is an error."
    )
    drop_labels: tuple[str, ...] = Field((), description="Labels whose images are left out.")
    merge_classes: dict[str, tuple[str, ...]] = Field(
        {}, description="New class name: the labels that it takes in."
    )
    top_classes: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Keep only the n most frequent classes."
    )
    image_size: ImageSize = Field((224, 224), description="[height, width] or one number.")
    resize: Literal["stretch", "crop", "letterbox"] = Field(
        "stretch", description="How an image of another shape is brought to image_size."
    )
    validation: Share = Field(
        0.2, description="Share held out for validation; 0 trains on the whole data set."
    )
    test: Share = Field(0.0, description="Share held out for a final test.")
    min_images: Annotated[int, Field(ge=1)] = Field(
        5, description="Classes with fewer images are reported."
    )
    max_pixels: Annotated[int, Field(ge=64)] = Field(
        100_000_000, description="Images of more pixels are quarantined unread."
    )
    strict: bool = Field(False, description="Bad images are an error instead of quarantined.")
    cache: Literal["auto", "memory", "disk", "none"] = Field(
        "auto", description="Where decoded images are kept; auto: memory if they fit."
    )


class HeadRecipe(Section):
    """What is put on top of the backbone."""

    pool: Literal["average", "max", "flatten"] = Field("average", description="Pooling.")
    dropout: Share = Field(0.0, description="Dropout after pooling.")
    dense: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (), description="Units of the dense layers between pooling and the classes."
    )
    activation: str = Field("relu", description="Activation of the dense layers.")
    initializer: str = Field("glorot_uniform", description="Kernel initialiser.")
    l1: Annotated[float, Field(ge=0)] = Field(0.0, description="L1 of the dense kernels.")
    l2: Annotated[float, Field(ge=0)] = Field(0.0, description="L2 of the dense kernels.")
    batch_norm: bool = Field(False, description="BatchNorm after each dense layer.")
    final_dropout: Share = Field(0.0, description="Dropout before the class layer.")


class LayerRecipe(Section):
    """One block of ``custom_cnn``."""

    conv: Annotated[int, Field(ge=1)] | None = Field(None, description="Filters.")
    kernel: Annotated[int, Field(ge=1)] = Field(3, description="Kernel size of conv.")
    stride: Annotated[int, Field(ge=1)] = Field(1, description="Stride of conv.")
    padding: Literal["same", "valid"] = Field("same", description="Padding of conv and pool.")
    batch_norm: bool = Field(False, description="BatchNorm between conv and activation.")
    activation: str | None = Field("relu", description="Activation after conv.")
    pool: Annotated[int, Field(ge=1)] | None = Field(None, description="Max-pooling size.")
    pool_stride: Annotated[int, Field(ge=1)] | None = Field(None, description="Default: pool.")
    pool_padding: Annotated[int, Field(ge=0)] = Field(
        0, description="Pixels padded on each side before pooling."
    )
    dropout: Share = Field(0.0, description="Dropout after the block.")

    @model_validator(mode="after")
    def _check_work(self) -> Self:
        if self.conv is None and self.pool is None and self.dropout == 0.0:
            raise ValueError("a layer needs conv, pool or dropout")
        return self


class ModelRecipe(Section):
    """Backbone, weights and head."""

    backbone: str = Field(description="A name that `tfclassify backbones` lists.")
    weights: str = Field("imagenet", description="imagenet, none, or a path to a weight file.")
    layers: tuple[LayerRecipe, ...] = Field((), description="Blocks of custom_cnn.")
    head: HeadRecipe = Field(HeadRecipe(), description="What is put on top.")
    batch_norm: Literal["auto", "frozen", "trained"] = Field(
        "auto", description="auto: frozen (inference mode) if the backbone is pretrained."
    )


class LossRecipe(Section):
    """The training loss: categorical cross-entropy."""

    label_smoothing: Share = Field(0.0, description="Label smoothing.")


class EarlyStoppingRecipe(Section):
    """When a phase ends early."""

    metric: str = Field("loss", description="Validation metric that is watched.")
    patience: Annotated[int, Field(ge=1)] = Field(10, description="Epochs without a gain.")
    min_delta: Annotated[float, Field(ge=0)] = Field(0.0, description="Smallest gain.")


class ScheduleRecipe(Section):
    """How the learning rate moves within a phase."""

    kind: Literal["constant", "cosine", "plateau"] = Field("constant", description="Shape.")
    warmup_epochs: Annotated[float, Field(ge=0)] = Field(0.0, description="Linear warm-up.")
    final: Fraction = Field(0.0, description="Last rate of cosine, as a share of the first.")
    metric: str = Field("loss", description="Validation metric that plateau watches.")
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="Step of plateau.")
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
    schedule: Annotated[ScheduleRecipe, BeforeValidator(to_kind)] = Field(
        ScheduleRecipe(), description="constant, cosine or plateau, with options."
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
    data: DataRecipe = Field(description="The images.")
    augment: AugmentRecipe = Field(AugmentRecipe(), description="Training-time augmentation.")
    model: ModelRecipe = Field(description="The network.")
    loss: LossRecipe = Field(LossRecipe(), description="The loss.")
    class_weights: Literal["none", "balanced"] | dict[str, Rate] = Field(
        "none", description="none, balanced, or {class: weight}."
    )
    batch_size: Annotated[int, Field(ge=1, le=65536)] = Field(32, description="Images a step.")
    metric: str = Field("accuracy", description="The metric that headlines the report.")
    phases: Annotated[tuple[PhaseRecipe, ...], Field(min_length=1)] = Field(
        description="Stretches of training, in order."
    )
    tta: TtaRecipe | None = Field(None, description="Test-time augmentation.")
    runtime: RuntimeRecipe = Field(RuntimeRecipe(), description="How the work is run.")
