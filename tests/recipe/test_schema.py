from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any, get_args

import pytest

from tests.recipe.builders import describe, make_recipe
from tfclassify.errors import RecipeError
from tfclassify.recipe import names
from tfclassify.recipe.loading import parse_recipe
from tfclassify.recipe.names import ACTIVATION_NAMES, BACKBONE_NAMES, INITIALIZER_NAMES
from tfclassify.recipe.problems import validate
from tfclassify.recipe.schema import (
    LOSS_KINDS,
    LossRecipe,
    Recipe,
    TtaRecipe,
    count_views,
    lacks_validation,
)

NEEDS = "needs validation images, but data.validation is 0; remove it or hold some out"

CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"model__backbone": "convnext_lrge"},
        ["model.backbone: unknown backbone 'convnext_lrge'; did you mean 'convnext_large'?"],
    ),
    (
        {"model__backbone": "EfficientNetB0"},
        ["model.backbone: unknown backbone 'EfficientNetB0'; did you mean 'efficientnet_b0'?"],
    ),
    (
        {"model__backbone": "qqq"},
        [
            f"model.backbone: unknown backbone 'qqq'; `tfclassify backbones` lists the "
            f"{len(BACKBONE_NAMES)} known"
        ],
    ),
    ({"metric": "f1-macro"}, ["metric: unknown metric 'f1-macro'; did you mean 'f1_macro'?"]),
    (
        {"phases__early_stopping": {"metric": "val"}, "phases__keep_best": "top_5"},
        [
            "phases[0].early_stopping.metric: unknown metric 'val'; allowed are loss, accuracy, "
            "top_2, top_3, top_5, balanced_accuracy, precision_macro, precision_weighted, "
            "recall_macro, recall_weighted, f1_macro, f1_weighted, roc_auc, ece and brier"
        ],
    ),
    (
        {"phases__keep_best": "acuracy"},
        ["phases[0].keep_best: unknown metric 'acuracy'; did you mean 'accuracy'?"],
    ),
    (
        {"phases__schedule": {"kind": "plateau", "metric": "los"}},
        ["phases[0].schedule.metric: unknown metric 'los'; did you mean 'loss'?"],
    ),
    (
        {"model__head__activation": "Relu_6", "model__head__initializer": "he"},
        [
            "model.head.activation: unknown activation 'Relu_6'; did you mean 'relu6'?",
            "model.head.initializer: unknown initializer 'he'; allowed are glorot_uniform, "
            "glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, orthogonal, "
            "random_uniform, random_normal, truncated_normal, variance_scaling and zeros",
        ],
    ),
    (
        {"model__backbone": "custom_cnn"},
        ["model.layers: backbone 'custom_cnn' needs layers, got none; list its blocks"],
    ),
    (
        {"model__layers": [{"conv": 8, "activation": "rel"}]},
        [
            "model.layers[0].activation: unknown activation 'rel'; did you mean 'relu'?",
            "model.layers: layers belong to backbone 'custom_cnn', got 'vgg16'; remove one of "
            "the two",
        ],
    ),
    (
        {
            "model__backbone": "custom_cnn",
            "model__layers": [{"conv": 8}],
            "model__weights": "imagenet",
        },
        [
            "model.weights: backbone 'custom_cnn' has no 'imagenet' weights; write none, or a "
            "path to a file"
        ],
    ),
    (
        {"phases__schedule": {"kind": "cosine", "factor": 0.1}},
        [
            "phases[0].schedule.factor: belongs to multi_step, exponential or plateau, got 0.1 "
            "with kind 'cosine'"
        ],
    ),
    (
        {"phases__schedule": {"final": 0.1, "warmup_epochs": 4}},
        [
            "phases[0].schedule.final: belongs to cosine, got 0.1 with kind 'constant'",
            "phases[0].schedule.warmup_epochs: must be at most the phase's 3 epochs, got 4.0",
        ],
    ),
    (
        {"data__validation": 0, "phases__early_stopping": {}},
        [f"phases[0].early_stopping: {NEEDS}"],
    ),
    (
        {"data__validation": 0.0, "phases__keep_best": "loss", "phases__schedule": "plateau"},
        [
            f"phases[0].keep_best: {NEEDS} (null keeps the last epoch)",
            f"phases[0].schedule: plateau {NEEDS}",
        ],
    ),
]


@pytest.mark.parametrize(("changes", "messages"), CASES, ids=[texts[0] for _, texts in CASES])
def test_an_impossible_recipe_says_why(changes: dict[str, Any], messages: list[str]) -> None:
    assert describe(make_recipe(**changes)) == messages


def test_names_of_phases_must_differ() -> None:
    phases = [{"name": name, "epochs": 1} for name in ("a", "b", "a", "a")]
    assert describe(make_recipe() | {"phases": phases}) == [
        "phases[2].name: 'a' is already the name of phases[0]",
        "phases[3].name: 'a' is already the name of phases[0]",
    ]


def load(**changes: Any) -> Recipe:
    recipe, faults = validate(make_recipe(**changes))
    assert recipe is not None, faults
    return recipe


def test_whole_dataset_mode_keeps_the_last_epoch() -> None:
    assert load(data__validation=0).phases[0].keep_best is None
    assert load().phases[0].keep_best == "loss"
    # A split column may bring validation images without a share.
    split = {"data__table": "t.csv", "data__columns": {"split": "part"}, "data__validation": 0}
    recipe = load(**split, phases__early_stopping={"metric": "ece"})
    assert not lacks_validation(recipe)
    assert recipe.phases[0].keep_best == "ece"


def test_the_best_epoch_is_the_one_that_early_stopping_waited_for() -> None:
    assert load(phases__early_stopping={"metric": "accuracy"}).phases[0].keep_best == "accuracy"
    recipe = load(phases__early_stopping={"metric": "accuracy"}, phases__keep_best="loss")
    assert recipe.phases[0].keep_best == "loss"
    recipe = load(phases__early_stopping={"metric": "accuracy"}, phases__keep_best=None)
    assert recipe.phases[0].keep_best is None


def test_a_custom_network_starts_without_weights() -> None:
    custom = {"model__backbone": "custom_cnn", "model__layers": [{"conv": 8}]}
    assert load(**custom).model.weights == "none"
    assert load(**custom, model__weights="my.weights.h5").model.weights == "my.weights.h5"
    assert load().model.weights == "imagenet"


def test_every_listed_name_is_taken() -> None:
    for backbone in set(BACKBONE_NAMES) - {"custom_cnn"}:
        assert load(model__backbone=backbone).model.backbone == backbone
    assert len(set(BACKBONE_NAMES)) == len(BACKBONE_NAMES)
    for activation in ACTIVATION_NAMES:
        assert load(model__head__activation=activation).model.head.activation == activation


@pytest.mark.slow
def test_keras_knows_every_activation_and_initializer() -> None:
    import keras

    for name in ACTIVATION_NAMES:
        assert callable(keras.activations.get(name))
    for name in INITIALIZER_NAMES:
        assert isinstance(keras.initializers.get(name), keras.initializers.Initializer)


#: One of the ways to say how several labels of an image are written.
SETS = {"data__source": "t.csv", "data__label_separator": "|"}

TASK_CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"loss": {"kind": "binary_cross_entropy"}},
        [
            "loss.kind: 'binary_cross_entropy' does not go with task 'multi_class'; allowed are "
            "auto, cross_entropy and focal"
        ],
    ),
    (
        {"task": "multi_label", "loss": {"kind": "cross_entropy"}, **SETS},
        [
            "loss.kind: 'cross_entropy' does not go with task 'multi_label'; allowed are auto, "
            "binary_cross_entropy, focal and asymmetric"
        ],
    ),
    (
        {"loss": {"gamma": 1.0, "clip": 0.1}},
        [
            "loss.gamma: belongs to focal, got 1.0 with kind 'auto'",
            "loss.clip: belongs to asymmetric, got 0.1 with kind 'auto'",
        ],
    ),
    ({"loss": {"kind": "focal", "gamma": 1.0}}, []),
    ({"task": "multi_label", "loss": {"kind": "asymmetric", "gamma_negative": 2.0}, **SETS}, []),
    (
        {"thresholds": 0.4},
        [
            "thresholds: belong to task 'multi_label', got 0.4 with 'multi_class', which takes "
            "the likeliest class; remove them"
        ],
    ),
    ({"task": "multi_label", "thresholds": "per_class", **SETS}, []),
    (
        {"task": "multi_label", "thresholds": "one", "data__validation": 0, **SETS},
        [
            "thresholds: 'one' needs validation images to search on, but data.validation is 0; "
            "write a number such as 0.5, or hold some out"
        ],
    ),
    ({"task": "multi_label", "thresholds": 0.4, "data__validation": 0, **SETS}, []),
    ({"task": "multi_label", "metric": "accuracy", **SETS}, ["metric: unknown metric 'accuracy'"]),
]


@pytest.mark.parametrize(("changes", "expected"), TASK_CASES)
def test_faults(changes: dict[str, Any], expected: list[str]) -> None:
    found = describe(make_recipe(**changes))
    assert len(found) == len(expected)
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(start)


def test_every_kind_of_loss_goes_with_some_task() -> None:
    kinds = get_args(LossRecipe.model_fields["kind"].annotation)
    assert {kind for allowed in LOSS_KINDS.values() for kind in allowed} == set(kinds)


def fill(**changes: Any) -> Recipe:
    recipe, faults = validate(make_recipe(**changes))
    assert not faults
    assert recipe is not None
    return recipe


def test_without_validation_images_the_threshold_is_a_half() -> None:
    assert fill(task="multi_label", data__validation=0, **SETS).thresholds == 0.5
    assert fill(task="multi_label", **SETS).thresholds == "one"
    assert fill(data__validation=0).thresholds == "one"


def test_a_recipe_of_label_sets_is_headed_by_average_precision() -> None:
    assert fill(task="multi_label", **SETS).metric == "map"
    assert fill(task="multi_label", metric="iou", **SETS).metric == "iou"


@pytest.mark.parametrize(("key", "most"), [("rotate", 1), ("shift", 1), ("shear", 4), ("zoom", 10)])
def test_degrees_typed_by_mistake_are_refused(key: str, most: int) -> None:
    text = (
        f"{{name: x, data: {{source: x}}, augment: {{{key}: 45}}, model: {{backbone: vgg16}}, "
        "phases: [{name: a, epochs: 1}]}"
    )
    with pytest.raises(RecipeError, match=rf"{key}: must stay within ±{most}, got"):
        parse_recipe(text)


VIEW_CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"data__image_size": [16, 24], "tta": {"rotations": [90]}},
        [
            "tta.rotations: need square images, got [90] with data.image_size [16, 24]; leave "
            "rotations out or give a square image_size"
        ],
    ),
    ({"data__image_size": 16, "tta": {"rotations": [90, 180, 270], "shift": 0.1}}, []),
    (
        {"data__image_size": [16, 24], "tta": {"shift": 0.03}},
        ["tta.shift: must move 16 pixels by at least one, got 0.03; give 0.062 or more, or 0"],
    ),
    (
        {"tta": {"zoom": [number / 10_000 for number in range(9000)]}},
        ["tta: makes 9,001 views, each a pass of every image through the network; allowed are 256"],
    ),
    (
        # (identity + 4 shifts + 60 zooms) under 4 sets of flips.
        {
            "tta": {
                "flips": ["horizontal", "vertical"],
                "shift": 0.1,
                "zoom": [number / 100 for number in range(1, 61)],
                "combine": "product",
            }
        },
        ["tta: makes 260 views"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), VIEW_CASES)
def test_views_that_cannot_be(changes: dict[str, Any], expected: list[str]) -> None:
    test_faults(changes, expected)


def test_views_are_counted_as_they_are_listed() -> None:
    from tfclassify.inference.views import list_views

    for tta in (
        TtaRecipe(),
        TtaRecipe(flips=("horizontal",), zoom=(0.1, 0.2)),
        TtaRecipe(flips=("horizontal", "vertical"), shift=0.1, zoom=(0.2,), combine="product"),
        TtaRecipe(flips=("vertical",), shift=0.1, rotations=(90,), combine="product"),
    ):
        assert count_views(tta) == len(list_views(tta, (20, 20)))


def test_functions_of_ones_own_are_known_before_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "OWN_FUNCTIONS", {"schedules": {}, "losses": {}})
    text = "unknown schedule 'line'; there are none; call register_schedule before the recipe"
    (fault,) = describe(make_recipe(phases__schedule={"custom": "line"}))
    assert fault.startswith(f"phases[0].schedule.custom: {text}")
    names.OWN_FUNCTIONS["schedules"]["line"] = float
    names.OWN_FUNCTIONS["losses"]["dot"] = max
    assert load(phases__schedule={"custom": "line"}).phases[0].schedule.custom == "line"
    both = make_recipe(phases__schedule={"custom": "line", "kind": "cosine"}, loss={"custom": "dt"})
    assert describe(both) == [
        "phases[0].schedule.kind: stands beside custom: 'line', which replaces it; remove one",
        "loss.custom: unknown loss 'dt'; there are dot; call register_loss before the recipe is "
        "loaded",
    ]
    weighed = make_recipe(
        **SETS, task="multi_label", loss={"custom": "dot"}, class_weights="balanced"
    )
    (fault,) = describe(weighed)
    assert fault.startswith("class_weights: are part of the built-in losses of task 'multi_label'")


def test_a_package_brings_functions_that_load_when_they_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "OWN_FUNCTIONS", {"schedules": {}, "losses": {}})
    point = EntryPoint("root", "math:sqrt", "tfclassify.schedules")
    broken = EntryPoint("gone", "no_such_module:x", "tfclassify.schedules")

    def list_points(**wanted: str) -> EntryPoints:
        return EntryPoints([point, broken]).select(**wanted)

    monkeypatch.setattr(names, "entry_points", list_points)
    assert names.list_own_names("schedules") == ("root", "gone")
    assert names.list_own_names("losses") == ()
    assert load(phases__schedule={"custom": "gone"}).phases[0].schedule.custom == "gone"
    assert names.find_own_function("schedules", "root")(0.25) == 0.5


@pytest.mark.parametrize(("former", "precision"), [(True, "float16"), (False, "float32")])
def test_recipes_of_former_runs_name_their_precision(former: bool, precision: str) -> None:
    content = make_recipe(runtime={"mixed_precision": former, "jit": True})
    runtime = Recipe.model_validate(content).runtime
    assert (runtime.precision, runtime.jit) == (precision, True)
