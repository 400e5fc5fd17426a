"""The shape of a recipe: its top level, the small sections, and all checks.

Owns: the frozen models of the top level, each default in one place; the list of all checks,
those of names and of the task among them. Does not own: the larger sections with their own
checks (``data_schema``, ``augment_schema``, ``model_schema``, ``phase_schema``), files,
lines, ``--set`` (``loading``).

A check looks at values only, never at whether they were written or are defaults, so
that a recipe that was written out in full means the same; ``fill_defaults`` is where a default
gives way to another key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationInfo, model_validator

from tfclassify.errors import RequestError
from tfclassify.recipe.augment_schema import AugmentRecipe, MixRecipe
from tfclassify.recipe.data_schema import (
    CocoRecipe,
    ColumnsRecipe,
    DataRecipe,
    check_data,
    check_flags,
    check_label_sets,
    check_labels,
)
from tfclassify.recipe.fields import BatchSize, Rate, Section, Share
from tfclassify.recipe.model_schema import (
    CUSTOM,
    HeadRecipe,
    LayerRecipe,
    ModelRecipe,
    StackMemberRecipe,
    check_model,
)
from tfclassify.recipe.names import (
    ACTIVATION_NAMES,
    INITIALIZER_NAMES,
    list_metric_names,
    list_own_names,
)
from tfclassify.recipe.phase_schema import (
    EarlyStoppingRecipe,
    FeaturesRecipe,
    PhaseRecipe,
    ScheduleRecipe,
    TrainPartRecipe,
    check_phases,
    fill_phase,
)
from tfclassify.recipe.search_schema import DimensionRecipe, SearchRecipe
from tfclassify.recipe.wording import KeyPath, find_nearest, join_names, show

__all__ = [
    "AugmentRecipe",
    "CocoRecipe",
    "ColumnsRecipe",
    "DataRecipe",
    "DimensionRecipe",
    "DistilRecipe",
    "EarlyStoppingRecipe",
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


#: Context of a validation that judges single values only, not what goes together.
SINGLE_VALUES = object()


class LossRecipe(Section):
    """The training loss."""

    kind: Literal["auto", "cross_entropy", "binary_cross_entropy", "focal", "asymmetric"] = Field(
        "auto",
        description="auto: cross_entropy, or binary_cross_entropy for task multi_label.",
    )
    custom: str | None = Field(
        None, description="A loss of one's own in place of kind, by its registered name."
    )
    label_smoothing: Share = Field(0.0, description="Label smoothing.")
    gamma: Annotated[float, Field(ge=0, le=10)] = Field(
        2.0, description="How much focal down-weights easy examples."
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


class DistilRecipe(Section):
    """Distillation: the network also learns what a trained one says of the same images."""

    teacher: Annotated[str, Field(min_length=1)] = Field(
        description="A run, a bundle, an artefact or an ensemble with the same classes."
    )
    temperature: Annotated[float, Field(ge=1, le=100)] = Field(
        2.0, description="How much both answers are softened before they are compared."
    )
    alpha: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Weight of the teacher's answers; the labels have the rest."
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
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Of the activations; weights, gradients and loss are float32. For GPUs.",
    )
    jit: bool = Field(False, description="XLA; slower on a CPU.")
    strategy: Literal["auto", "none", "mirrored", "multi_worker"] = Field(
        "auto",
        description="Devices that train together: none, one; mirrored, all GPUs of this machine, "
        "or TensorFlow's logical processors; multi_worker, those of several processes; auto, "
        "what there is.",
    )
    tensorboard: bool = Field(False, description="Also write TensorBoard logs.")

    @model_validator(mode="before")
    @classmethod
    def _take_former_key(cls, content: Any) -> Any:
        """Understand ``mixed_precision: true`` of runs that were made before there was a choice."""
        if not isinstance(content, dict) or not isinstance(content.get("mixed_precision"), bool):
            return content
        rest = {key: value for key, value in content.items() if key != "mixed_precision"}
        return {"precision": "float16" if content["mixed_precision"] else "float32"} | rest


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
    distil: DistilRecipe | None = Field(
        None, description="Learn also from a trained network, in every phase."
    )
    class_weights: Literal["none", "balanced"] | dict[str, Rate] = Field(
        "none",
        description="none, balanced, or {class: weight}. In multi_label, weights of the images "
        "that have the class against those that do not.",
    )
    batch_size: BatchSize = Field(
        32,
        description="Images a step; auto: the largest power of two that fits into memory, found "
        "by trial before the training and kept in the run.",
    )
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
    search: SearchRecipe | None = Field(
        None,
        description="What `tfclassify tune` may change: head, augment, whole, or keys such as "
        "phases[1].learning_rate with the values to choose from; nothing else reads it.",
    )

    @model_validator(mode="wrap")
    @classmethod
    def _check_all(
        cls, value: Any, build: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        """Take a recipe from Python through all the checks that a file goes through."""
        if info.context is SINGLE_VALUES or isinstance(value, cls):
            return build(value)
        from tfclassify.recipe.problems import check_content

        recipe = check_content(value)
        return build({name: getattr(recipe, name) for name in recipe.model_fields_set})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], overrides: Sequence[str] = ()) -> Recipe:
        """Make a recipe of a mapping by the keys of a recipe file.

        Args:
            content: Nested mappings and lists, or sections such as ``ModelRecipe``.
            overrides: Changes such as ``phases[1].epochs=3``, applied in order.

        Raises:
            RecipeError: If anything in it is wrong; it lists every problem with its path.
        """
        from tfclassify.recipe.loading import build_recipe

        return build_recipe(content, "recipe", overrides)

    @property
    def step_images(self) -> int:
        """Images a step.

        Raises:
            RequestError: If ``batch_size`` is still ``auto``.
        """
        if self.batch_size == "auto":
            raise RequestError(
                "batch_size: auto is found out when a training begins; give a number here, such as "
                "--set batch_size=32"
            )
        return self.batch_size

    def as_in(self, phase: PhaseRecipe) -> Recipe:
        """Return the recipe as one of its phases sees it: its size of images and of batches."""
        data = self.data
        if phase.image_size is not None:
            data = data.model_copy(update={"image_size": phase.image_size})
        batch_size = self.batch_size if phase.batch_size is None else phase.batch_size
        return self.model_copy(update={"data": data, "batch_size": batch_size})


MULTI_LABEL = "multi_label"

#: What each task can be trained with.
LOSS_KINDS = {
    "multi_class": ("auto", "cross_entropy", "focal"),
    MULTI_LABEL: ("auto", "binary_cross_entropy", "focal", "asymmetric"),
}
#: What ``loss.kind: auto`` stands for.
DEFAULT_LOSSES = {"multi_class": "cross_entropy", MULTI_LABEL: "binary_cross_entropy"}
#: Keys that only some kinds read.
_LOSS_KEYS = {
    "gamma": ("focal",),
    "gamma_positive": ("asymmetric",),
    "gamma_negative": ("asymmetric",),
    "clip": ("asymmetric",),
}
_SEARCHED = ("one", "per_class")
#: Views of an image that a recipe may ask for: each costs a whole pass over all images.
MOST_VIEWS = 256
#: The threshold where there are no validation images to search it on.
HALF = 0.5


def needs_search(recipe: Recipe) -> bool:
    """Say whether validation images decide the thresholds."""
    return recipe.task == MULTI_LABEL and recipe.thresholds in _SEARCHED


def check_task(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check loss and thresholds against the task."""
    loss, kinds = recipe.loss, LOSS_KINDS[recipe.task]
    if loss.kind not in kinds:
        yield (
            ("loss", "kind"),
            f"{loss.kind!r} does not go with task {recipe.task!r}; allowed are "
            f"{join_names(kinds, 'and')}",
        )
    yield from _check_loss_keys(loss)
    yield from _check_custom(("loss",), "loss", loss.custom, loss.kind != "auto", "losses")
    if loss.custom and recipe.task == MULTI_LABEL and recipe.class_weights != "none":
        yield (
            ("class_weights",),
            f"are part of the built-in losses of task {MULTI_LABEL!r}, got "
            f"{show(recipe.class_weights)} with loss.custom; remove them",
        )
    if recipe.task != MULTI_LABEL and recipe.thresholds != "one":
        yield (
            ("thresholds",),
            f"belong to task {MULTI_LABEL!r}, got {show(recipe.thresholds)} with "
            f"{recipe.task!r}, which takes the likeliest class; remove them",
        )
    if needs_search(recipe) and lacks_validation(recipe):
        yield (
            ("thresholds",),
            f"{recipe.thresholds!r} needs validation images to search on, but data.validation "
            f"is 0; write a number such as {HALF}, or hold some out",
        )


def count_views(tta: TtaRecipe) -> int:
    """Return how many views of each image go through the network, at most.

    Views that show the same pixels are told apart by the images' size and left out later.
    """
    others = (4 if tta.shift else 0) + len(tta.rotations) + len(tta.zoom)
    if tta.combine == "each":
        return 1 + len(tta.flips) + others
    return int((1 + others) * 2 ** len(tta.flips))


def check_views(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that the views suit the images, and that there are not absurdly many."""
    tta, image_size = recipe.tta, recipe.data.image_size
    if tta is None:
        return
    if tta.rotations and image_size[0] != image_size[1]:
        # Half a turn alone would do, but then the views would depend on the shape.
        yield (
            ("tta", "rotations"),
            f"need square images, got {show(tta.rotations)} with data.image_size "
            f"{show(image_size)}; leave rotations out or give a square image_size",
        )
    shortest = min(image_size)
    if tta.shift and round(tta.shift * shortest) == 0:
        yield (
            ("tta", "shift"),
            f"must move {shortest} pixels by at least one, got {tta.shift:g}; give "
            f"{1 / shortest:.3f} or more, or 0 for no shifts",
        )
    views = count_views(tta)
    if views > MOST_VIEWS:
        yield (
            ("tta",),
            f"makes {views:,} views, each a pass of every image through the network; allowed "
            f"are {MOST_VIEWS}; shorten its lists",
        )


def _check_loss_keys(loss: LossRecipe) -> Iterator[tuple[KeyPath, str]]:
    default = LossRecipe()
    for key, kinds in _LOSS_KEYS.items():
        value = getattr(loss, key)
        if loss.kind not in kinds and value != getattr(default, key):
            yield (
                ("loss", key),
                f"belongs to {join_names(kinds)}, got {show(value)} with kind {loss.kind!r}",
            )


def check_recipe(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Find what is wrong in a recipe whose single values are all allowed: path and message."""
    for check in (
        check_names,
        check_model,
        check_data,
        check_labels,
        check_label_sets,
        check_flags,
        check_phases,
        check_validation,
        check_task,
        check_views,
    ):
        yield from check(recipe)


def fill_defaults(recipe: Recipe) -> Recipe:
    """Replace the defaults that other keys rule out.

    A ``keep_best`` that was not written follows ``early_stopping.metric``, so that a phase
    ends with the epoch it waited for; without validation images, or where ``swa`` averages
    the last epochs, it becomes null. Weights
    that were not written for ``custom_cnn`` become none, since it has none to load; so do
    thresholds that were not written become 0.5 where there are no images to search them on.
    """
    changes: dict[str, object] = {
        "phases": tuple(fill_phase(phase, lacks_validation(recipe)) for phase in recipe.phases)
    }
    if recipe.task == "multi_label" and "metric" not in recipe.model_fields_set:
        changes["metric"] = "map"
    if (
        "thresholds" not in recipe.model_fields_set
        and needs_search(recipe)
        and lacks_validation(recipe)
    ):
        changes["thresholds"] = HALF
    model = recipe.model
    if model.backbone == CUSTOM and "weights" not in model.model_fields_set:
        changes["model"] = model.model_copy(update={"weights": "none"})
    return recipe.model_copy(update=changes)


def lacks_validation(recipe: Recipe) -> bool:
    """Say whether there will be no validation images, as far as the recipe tells."""
    return recipe.data.validation == 0.0 and recipe.data.columns.split is None


def check_names(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check every name that is defined outside of the schema."""
    metrics = list_metric_names(recipe.task)
    yield from _check_name(("metric",), "metric", recipe.metric, metrics)
    head = recipe.model.head
    path: KeyPath = ("model", "head")
    yield from _check_name((*path, "activation"), "activation", head.activation, ACTIVATION_NAMES)
    yield from _check_name(
        (*path, "initializer"), "initializer", head.initializer, INITIALIZER_NAMES
    )
    for number, layer in enumerate(recipe.model.layers):
        path = ("model", "layers", number, "activation")
        yield from _check_name(path, "activation", layer.activation, ACTIVATION_NAMES)
    for number, phase in enumerate(recipe.phases):
        path = ("phases", number)
        yield from _check_name((*path, "keep_best"), "metric", phase.keep_best, metrics)
        schedule = phase.schedule
        yield from _check_name((*path, "schedule", "metric"), "metric", schedule.metric, metrics)
        is_shaped = schedule.kind != "constant"
        yield from _check_custom(
            (*path, "schedule"), "schedule", schedule.custom, is_shaped, "schedules"
        )
        if phase.early_stopping is not None:
            metric = phase.early_stopping.metric
            yield from _check_name((*path, "early_stopping", "metric"), "metric", metric, metrics)


def _check_custom(
    path: KeyPath, kind: str, name: str | None, is_chosen: bool, group: str
) -> Iterator[tuple[KeyPath, str]]:
    """Check that a function of a user's own is there, and that no other is asked for."""
    if name is None:
        return
    known = list_own_names(group)
    if name not in known:
        there = f"there are {join_names(known, 'and')}" if known else "there are none"
        yield (
            (*path, "custom"),
            f"unknown {kind} {name!r}; {there}; call register_{kind} before the recipe is loaded",
        )
    if is_chosen:
        yield (*path, "kind"), f"stands beside custom: {name!r}, which replaces it; remove one"


def _check_name(
    path: KeyPath, kind: str, name: str | None, names: Iterable[str]
) -> Iterator[tuple[KeyPath, str]]:
    known = tuple(names)
    if name is None or name in known:
        return
    nearest = find_nearest(name, known)
    if nearest is not None:
        yield path, f"unknown {kind} {name!r}; did you mean {nearest!r}?"
    else:
        yield path, f"unknown {kind} {show(name)}; allowed are {join_names(known, 'and')}"


def check_validation(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that nothing watches validation images where there are none."""
    if not lacks_validation(recipe):
        return
    advice = "needs validation images, but data.validation is 0; remove it or hold some out"
    for number, phase in enumerate(recipe.phases):
        path: KeyPath = ("phases", number)
        if phase.early_stopping is not None:
            yield (*path, "early_stopping"), advice
        if phase.keep_best is not None:
            yield (*path, "keep_best"), f"{advice} (null keeps the last epoch)"
        if phase.schedule.kind == "plateau":
            yield (*path, "schedule"), f"plateau {advice}"
    if recipe.keep_phase == "best":
        yield ("keep_phase",), f"'best' {advice} (last keeps the last phase)"
