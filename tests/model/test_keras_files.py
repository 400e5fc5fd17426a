"""What is not on the list is not loaded, whatever Keras would have said of it."""

from __future__ import annotations

import errno
import resource
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from tests.backbones.networks import built
from tests.model.classifiers import make_images, make_tiny
from tests.model.tampering import find_entries, rewrite, rewrite_weights
from tfclassify.backbones.catalog import BACKBONES
from tfclassify.backbones.preprocessing import make_preprocessing
from tfclassify.errors import ModelError
from tfclassify.model import keras_files
from tfclassify.model.keras_files import check_keras_file, load_keras_file

#: One network of each module; ``test_bundle`` saves more of them.
KINDS = [
    "mobilenet_v3_small",
    "vgg16",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "convnext_tiny",
            "densenet121",
            "efficientnet_b0",
            "efficientnet_v2_b0",
            "efficientnet_v2_s",
            "inception_resnet_v2",
            "inception_v3",
            "mobilenet_v2",
            "nasnet_mobile",
            "xception",
        )
    ),
]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Save a small network."""
    make_tiny().network.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.mark.parametrize("name", KINDS)
def test_every_backbone_with_its_preprocessing_is_loaded(name: str, tmp_path: Path) -> None:
    images = keras.Input((96, 96, 3))
    x = images
    for layer in make_preprocessing(BACKBONES[name].contract):
        x = layer(x)
    keras.Model(images, built(name)(x)).save(tmp_path / "model.keras")
    loaded = load_keras_file(tmp_path / "model.keras")
    assert loaded.count_params() == built(name).count_params()


def test_every_head_is_loaded(tmp_path: Path) -> None:
    for pool in ("average", "max", "flatten"):
        network = make_tiny(
            pool=pool, dropout=0.1, dense=(4,), batch_norm=True, l1=0.1, l2=0.1, final_dropout=0.1
        ).network
        network.save(tmp_path / "model.keras")
        loaded = load_keras_file(tmp_path / "model.keras")
        assert np.array_equal(loaded(make_images(2)), network(make_images(2)))


def test_a_compiled_model_within_a_model_is_loaded_without_its_optimizer(tmp_path: Path) -> None:
    inner = make_tiny().network
    inner.compile("adam", "categorical_crossentropy", metrics=[keras.metrics.AUC()])
    images = keras.Input(inner.input_shape[1:])
    outer = keras.Model(images, keras.layers.Softmax()(inner(images)))
    outer.save(tmp_path / "model.keras")
    loaded = load_keras_file(tmp_path / "model.keras")
    assert not any(getattr(layer, "compiled", False) for layer in loaded.layers)
    assert np.array_equal(loaded(make_images(2)), outer(make_images(2)))


@pytest.mark.parametrize("activation", ["relu6", keras.activations.hard_silu, keras.ops.silu])
def test_an_activation_is_known_by_name(activation: Any, tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation=activation)(inputs))
    model.save(tmp_path / "model.keras")
    x = np.ones((1, 4), np.float32)
    assert np.array_equal(load_keras_file(tmp_path / "model.keras")(x), model(x))


def test_a_lambda_is_refused(tmp_path: Path) -> None:
    images = keras.Input((4,))
    model = keras.Model(images, keras.layers.Lambda(lambda x: x * 2, output_shape=(4,))(images))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"holds 'Lambda' of 'keras\.layers'.* can run code"):
        load_keras_file(tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.layers", "TFSMLayer"),
        ("keras.layers", "TorchModuleWrapper"),
        ("keras.layers", "StringLookup"),
        ("keras.layers", "deserialize"),
        ("keras.initializers", "get"),
        ("keras.src.ops.numpy", "Vectorize"),
        ("keras.src.ops.core", "WhileLoop"),
        ("keras.src.ops.numpy", "Path"),
        ("os", "system"),
        ("os", "path"),
        ("builtins", "eval"),
        ("keras.utils", "get_file"),
        ("keras.applications", "ResNet50"),
        ("keras.src.models.functional", "Sequential"),
        ("tfclassify.backbones.preprocessing", "keras"),
        ("keras_hub.src.models.bert.bert_tokenizer", "BertTokenizer"),
        ("elsewhere", "ReverseChannels"),
        (None, "__lambda__"),
        (None, "__typespec__"),
        (None, "Dense"),
        ("keras.layers", 3),
        (["keras.layers"], "Dense"),
    ],
)
@pytest.mark.parametrize("place", ["layer", "deep"])
def test_any_other_object_is_refused_wherever_it_stands(
    module: Any, name: Any, place: str, saved: Path
) -> None:
    hostile = {"module": module, "class_name": name, "config": {}, "registered_name": None}

    def plant(config: dict[str, Any]) -> dict[str, Any]:
        layers = config["config"]["layers"]
        if place == "layer":
            layers.append(hostile)
        else:
            layers[-1]["config"]["more"] = [[{"activation": hostile}]]
        return config

    with pytest.raises(ModelError, match=f"holds {name!r} of "):
        load_keras_file(rewrite(saved, plant))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.applications.imagenet_utils", "decode_predictions"),
        ("keras.datasets.mnist", "load_data"),
        ("keras.utils", "get_file"),
        ("keras.activations", "get"),
        ("keras.ops", "vectorize"),
        ("keras", "relu"),
        ("builtins", "load_data"),
        ("builtins", "mse"),
        (None, "relu"),
    ],
)
@pytest.mark.parametrize("key", ["activation", "kernel_initializer", "kernel_constraint"])
def test_no_function_of_keras_is_called(
    module: Any, name: str, key: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras' safe mode calls these: two of them went to the network."""
    called: list[Any] = []
    monkeypatch.setattr(keras.datasets.mnist, "load_data", called.append)
    monkeypatch.setattr(keras.applications.imagenet_utils, "decode_predictions", called.append)
    function = {"module": module, "class_name": "function", "config": name}

    def plant(config: dict[str, Any]) -> dict[str, Any]:
        (layer,) = find_entries(config, "Dense")
        layer["config"][key] = {**function, "registered_name": name}
        return config

    with pytest.raises(ModelError, match=f"holds '{name}' of {module!r}"):
        load_keras_file(rewrite(saved, plant))
    assert called == []


def test_a_class_by_another_registered_name_is_refused(saved: Path) -> None:
    """Keras looks for the registered name first: this ``Dense`` would be a hub module."""

    def disguise(config: dict[str, Any]) -> dict[str, Any]:
        (layer,) = find_entries(config, "Dense")
        layer["registered_name"] = "tfclassify>HubFeatures"
        return config

    with pytest.raises(ModelError, match=r"registered as 'tfclassify>HubFeatures'"):
        load_keras_file(rewrite(saved, disguise))


def test_a_registered_name_as_a_text_is_refused(saved: Path) -> None:
    def name(config: dict[str, Any]) -> dict[str, Any]:
        find_entries(config, "Dense")[0]["config"]["activation"] = "tfclassify>HubFeatures"
        return config

    with pytest.raises(ModelError, match="names a registered class where a plain text belongs"):
        load_keras_file(rewrite(saved, name))


def test_each_layer_of_keras_was_looked_at() -> None:
    """A layer that a new version of Keras brings must be looked at before it is allowed."""
    names = [n for n in dir(keras.layers) if keras_files._is_allowed("keras.layers", n)]
    assert len(names) == 155


def test_more_files_than_there_should_be_are_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("assets/../../escape", b"")
    with pytest.raises(ModelError, match=r"holds \['assets/\.\./\.\./escape'"):
        check_keras_file(saved)


def test_a_description_beyond_reason_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_files, "_MOST_OBJECTS", 10)
    with pytest.raises(ModelError, match="describes more than 10 objects"):
        check_keras_file(saved)
    monkeypatch.setattr(keras_files, "_LARGEST_CONFIG", 100)
    with pytest.raises(ModelError, match="its description is over 100 bytes"):
        check_keras_file(saved)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"\x89HDF\r\n\x1a\n"])
def test_a_file_of_another_format_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a readable Keras model"):
        check_keras_file(path)


def test_a_description_that_is_no_object_or_no_model_is_refused(saved: Path) -> None:
    many = {"units": "many"}
    rewrite(saved, lambda config: find_entries(config, "Dense")[0]["config"].update(many) or config)
    with pytest.raises(ModelError, match="Keras cannot load it"):
        load_keras_file(saved)
    with pytest.raises(ModelError, match="its description is no object"):
        load_keras_file(rewrite(saved, lambda _: []))


def find_kernel(file: h5py.File) -> str:
    """Return the name of the last array of two axes: the head's."""
    names: list[str] = []
    file.visititems(
        lambda name, part: names.append(name) if len(getattr(part, "shape", ())) == 2 else None
    )
    return names[-1]


def refuse_weights(path: Path, change: Callable[[h5py.File], None], message: str) -> None:
    """Change the weights and have them refused, without the memory that they ask for."""
    rewrite_weights(path, change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=message):
        load_keras_file(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_an_array_that_lies_in_another_file_is_refused(saved: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 24))

    def link(file: h5py.File) -> None:
        name = find_kernel(file)
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, "<f4", external=[(str(secret), 0, 4 * 24)])

    refuse_weights(saved, link, r"weights cannot be read \(.* is not a plain array of numbers\)")


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("/etc/hostname", "/x"), h5py.SoftLink("/layers")]
)
def test_a_link_is_refused(saved: Path, link: Any) -> None:
    refuse_weights(saved, lambda f: f.__setitem__("way", link), r"/way is a link")


def test_a_virtual_array_is_refused(saved: Path) -> None:
    def gather(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((4,), "<f4")
        layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
        file.create_virtual_dataset("gathered", layout)

    refuse_weights(saved, gather, "/gathered is not a plain array of numbers")


@pytest.mark.parametrize("kind", [h5py.string_dtype(), h5py.ref_dtype, "V8", "S4", "c8"])
def test_what_is_no_number_is_refused(saved: Path, kind: Any) -> None:
    refuse_weights(
        saved, lambda f: f.create_dataset("odd", (2,), kind), "/odd is not a plain array of numbers"
    )


def test_arrays_that_are_packed_or_not_there_are_refused(saved: Path) -> None:
    """Zeros pack to a thousandth: 2 GiB of them took 6.5 GB."""
    for options in ({"compression": "gzip"}, {"chunks": True}):
        refuse_weights(
            saved,
            lambda f, options=options: f.create_dataset("big", (1 << 38,), "<f4", **options),
            "its weights are packed, or claim",
        )
        rewrite_weights(saved, lambda f: f.__delitem__("big"))
    refuse_weights(
        saved,
        lambda f: f.create_dataset("big", (1 << 38,), "<f4"),
        r"or claim 1,099,511,6\d\d,\d+ bytes in",
    )


def test_packed_weights_are_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match="its weights are packed, as Keras does not"):
        load_keras_file(saved)


def test_weights_in_a_circle_or_a_ladder_end(saved: Path) -> None:
    """40 groups, each linked twice from the one before, are 2**40 ways to the last."""

    def climb(file: h5py.File) -> None:
        group = file.create_group("a")
        group["again"] = file["/"]
        for _ in range(40):
            below = group.create_group("left")
            group["right"] = below
            group = below

    network = load_keras_file(saved)
    rewrite_weights(saved, climb)
    assert load_keras_file(saved).count_params() == network.count_params()


def change_layer(kind: str, **options: Any) -> Callable[[Any], Any]:
    def change(config: Any) -> Any:
        (*_, layer) = find_entries(config, kind)
        for key, value in options.items():
            part = layer if key == "build_config" else layer["config"]
            part[key] = value
        return config

    return change


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Dense", {"units": 20_000_000}),
        ("Dense", {"units": 1 << 40}),
        ("Conv2D", {"filters": 1 << 30}),
        ("Conv2D", {"kernel_size": [1 << 15, 1 << 15]}),
        ("BatchNormalization", {"build_config": {"input_shape": [None, 8, 8, 1 << 40]}}),
    ],
)
def test_a_layer_of_more_weights_than_the_file_holds_is_refused(
    saved: Path, kind: str, options: dict[str, Any]
) -> None:
    """These hung, or took 9 GB: their weights are made before the file's are read."""
    rewrite(saved, change_layer(kind, **options))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"describes [\d,]+ weights, but holds|Keras cannot load"):
        load_keras_file(saved)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_a_depthwise_layer_of_fifty_million_channels_is_refused(tmp_path: Path) -> None:
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.DepthwiseConv2D(3)(images))
    model.save(tmp_path / "model.keras")
    rewrite(tmp_path / "model.keras", change_layer("DepthwiseConv2D", depth_multiplier=50_000_000))
    with pytest.raises(ModelError, match=r"describes 1,500,000,000 weights, but holds 30"):
        load_keras_file(tmp_path / "model.keras")


def test_features_beyond_the_memory_are_refused(tmp_path: Path) -> None:
    images = keras.Input((8, 8, 3))
    x = keras.layers.UpSampling2D(100)(images)
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
    model.save(tmp_path / "model.keras")
    assert load_keras_file(tmp_path / "model.keras").count_params() == 0
    rewrite(tmp_path / "model.keras", change_layer("UpSampling2D", size=[60_000, 60_000]))
    with pytest.raises(ModelError, match=r"needs about 5\.5 TB of memory \(0 parameters"):
        load_keras_file(tmp_path / "model.keras")


def test_arrays_beyond_the_memory_are_not_even_read(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfclassify.backbones.footprint.total_memory", lambda: 1000)
    with pytest.raises(ModelError, match=r"needs about \d+\.\d kB of memory, allowed is 80%"):
        load_keras_file(saved)


def test_a_file_is_loaded_without_a_copy_on_the_disk(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a bundle whose temporary folder was full, the message said to save the model anew."""

    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("mkdtemp", "mkstemp", "_mkstemp_inner"):
        monkeypatch.setattr(tempfile, name, refuse)
    assert load_keras_file(saved).count_params() > 0


def test_a_constant_is_numbers_of_four_bytes(tmp_path: Path) -> None:
    """Text of a gigabyte a letter is a type of NumPy's too."""
    path = tmp_path / "model.keras"
    inputs = keras.Input((2,))
    keras.Model(inputs, inputs * np.array([[1.0, 2.0]], np.float32)).save(path)
    np.testing.assert_array_equal(load_keras_file(path)(np.ones((1, 2))), [[1.0, 2.0]])

    def widen(config: Any) -> Any:
        (entry,) = find_entries(config, "__numpy__")
        assert entry["config"]["dtype"] == "float32"
        entry["config"]["dtype"] = "S9"
        return config

    rewrite(path, widen)
    with pytest.raises(ModelError, match=r"holds '__numpy__' of None"):
        load_keras_file(path)
