"""The names that keys of a recipe may hold: metrics, layers, backbones.

Owns: the plain lists, so that a misspelt name is answered without TensorFlow or NumPy, and
what installed packages add to any catalogue.
Does not own: what stands behind a name (``scoring.metrics`` and ``backbones.catalog``,
tested to hold exactly these; activations and initialisers are Keras' own).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from tfclassify.errors import RequestError
from tfclassify.recipe.wording import suggest

#: Kinds of addresses that packed shards are read from, by fsspec. Others would fetch over what
#: can be changed on the way, follow addresses within files, or run what a recipe names.
SCHEMES = (
    *("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss"),
    *("hf", "hdfs", "webhdfs", "sftp", "ssh", "smb", "file", "local", "memory"),
)


def refuse_scheme(address: str) -> str:
    """Say what is wrong with the kind of an address; empty where it is one of ``SCHEMES``."""
    scheme = address.partition("://")[0]
    if scheme.lower() in SCHEMES:
        return ""
    allowed = ", ".join(f"{name}://" for name in SCHEMES)
    return (
        f"shards are not read from {scheme}://, allowed are {allowed} and https:// with "
        f"data.sha256 for one file{suggest(scheme, SCHEMES)}"
    )


#: Of task multi_class.
METRIC_NAMES = (
    "loss",
    "accuracy",
    "top_2",
    "top_3",
    "top_5",
    "balanced_accuracy",
    "precision_macro",
    "precision_weighted",
    "recall_macro",
    "recall_weighted",
    "f1_macro",
    "f1_weighted",
    "roc_auc",
    "ece",
    "brier",
)

#: Of task multi_label.
MULTI_LABEL_METRIC_NAMES = (
    "loss",
    "map",
    "iou",
    "f1_samples",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "precision_macro",
    "precision_micro",
    "recall_macro",
    "recall_micro",
    "roc_auc",
    "hamming",
    "exact_match",
)


def list_announced(kind: str) -> tuple[str, ...]:
    """Return the names that installed packages announce for a kind, loading none of them.

    A package announces what it brings by an entry point of the group ``tfclassify.<kind>``.
    A recipe's text can name what is there, and can bring in nothing.
    """
    return tuple(dict.fromkeys(point.name for point in entry_points(group=f"tfclassify.{kind}")))


def load_announced(kind: str, name: str) -> Any:
    """Load what an installed package announces by a name; None where none does.

    Raises:
        RequestError: If it cannot be loaded.
    """
    for point in entry_points(group=f"tfclassify.{kind}", name=name):
        try:
            return point.load()
        except Exception as error:
            raise RequestError(
                f"entry point {name!r} of tfclassify.{kind}: {point.value!r} of an installed "
                f"package cannot be loaded ({type(error).__name__}: {error}); mend or uninstall "
                "the package"
            ) from error
    return None


_OWN_METRICS: dict[str, list[str]] = {}


def declare_metric(task: str, name: str) -> None:
    """Let recipes of a task name a metric that is not built in."""
    names = _OWN_METRICS.setdefault(task, [])
    if name not in names:
        names.append(name)


def list_metric_names(task: str) -> tuple[str, ...]:
    """Return the names that metrics may have under a recipe's ``task``, users' own last."""
    _load_packages()
    built_in = MULTI_LABEL_METRIC_NAMES if task == "multi_label" else METRIC_NAMES
    return (*built_in, *_OWN_METRICS.get(task, ()))


@lru_cache(maxsize=1)
def _load_packages() -> None:
    """Have installed packages register their metrics, once."""
    for name in list_announced("metrics"):
        load_announced("metrics", name)()


#: Users' own functions, by kind and name: ``training.schedules.register_schedule`` and
#: ``training.losses.register_loss`` fill it.
OWN_FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {"schedules": {}, "losses": {}}


def list_own_names(kind: str) -> tuple[str, ...]:
    """Return the names of a kind that users' code or installed packages bring, loading none."""
    return tuple(dict.fromkeys((*OWN_FUNCTIONS[kind], *list_announced(kind))))


def find_own_function(kind: str, name: str) -> Callable[..., Any]:
    """Return a function that a checked recipe names; one from this process comes first."""
    own = OWN_FUNCTIONS[kind]
    if name not in own:
        own[name] = load_announced(kind, name)
    return own[name]


ACTIVATION_NAMES = (
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "hard_silu",
    "softplus",
    "tanh",
    "sigmoid",
    "linear",
)

INITIALIZER_NAMES = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
    "orthogonal",
    "random_uniform",
    "random_normal",
    "truncated_normal",
    "variance_scaling",
    "zeros",
)


#: Beginnings of names that lead out of the list: a hub module, a preset of KerasHub.
HUB, PRESET = "hub:", "keras_hub:"
OUTSIDE_SOURCES = (HUB, PRESET)

#: The classifiers of keras.applications, then the networks built here.
BACKBONE_NAMES = (
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "convnext_large",
    "convnext_xlarge",
    "densenet121",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_b0",
    "efficientnet_v2_b1",
    "efficientnet_v2_b2",
    "efficientnet_v2_b3",
    "efficientnet_v2_s",
    "efficientnet_v2_m",
    "efficientnet_v2_l",
    "inception_resnet_v2",
    "inception_v3",
    "mobilenet",
    "mobilenet_025",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "nasnet_mobile",
    "nasnet_large",
    "resnet50",
    "resnet50_v2",
    "resnet101",
    "resnet101_v2",
    "resnet152",
    "resnet152_v2",
    "vgg16",
    "vgg19",
    "xception",
    "resnet18",
    "resnet34",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "custom_cnn",
)

#: Names that a user's own code registered; see ``backbones.catalog.register_backbone``.
OWN_BACKBONES: list[str] = []


def is_backbone(name: str) -> bool:
    """Say whether a backbone has this name; packages are asked only where it is not known."""
    return name in BACKBONE_NAMES or name in list_backbone_names()


def list_backbone_names() -> tuple[str, ...]:
    """Return every name that a backbone may have here, without loading any of them."""
    return tuple(dict.fromkeys((*BACKBONE_NAMES, *OWN_BACKBONES, *list_announced("backbones"))))
