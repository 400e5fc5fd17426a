"""Saved models that are programs, lead elsewhere, or claim more than they hold.

Each case is a folder, packed: a SavedModel, or a ``.keras`` file. A file ``secret`` lies
beside it, and a file ``ran`` appears where one of them gets its way.
"""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.cases import Case, flip_bits, overwrite

_GRAPH = "saved_model.pb"


def prepare(home: Path) -> None:
    """Start TensorFlow before the memory is limited."""
    import keras
    import numpy as np

    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    network.predict(np.zeros((1, 4)), verbose=0)


def make_cases() -> list[Case]:
    """Make every hostile model."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        return [*_make_saved_models(place), *_make_keras_files(place)]


def _make_saved_models(place: Path) -> list[Case]:
    from tests.hostile import saved_model_attacks as attacks
    from tests.hub_modules import make_hub_module

    make_hub_module(place / "good", size=attacks.SIZE)
    good = _pack(place / "good")
    cases = [Case("as it is", "SavedModel", good)]
    secret, ran = Path("secret"), Path("ran")
    writers: list[Callable[[Path], None]] = [
        lambda m: attacks.copy_while_restoring(m, secret, ran),
        lambda m: attacks.read_as_saving(m, secret),
        *(
            (lambda m, attack=attack: attack(m, ran))
            for attack in (
                attacks.write_while_initialising,
                attacks.write_by_gradient,
                attacks.call_the_saver,
                attacks.call_the_saver_by_another_name,
                attacks.name_the_saver_as_an_operation,
            )
        ),
        attacks.call_too_often,
        attacks.call_itself,
    ]
    for number, write in enumerate(writers):
        write(place / f"attack-{number}")
        cases.append(Case("programs", f"SavedModel {number}", _pack(place / f"attack-{number}")))
    graph = (place / "good" / _GRAPH).read_bytes()
    for seed in range(60):
        changed = flip_bits(graph, seed, 1 + seed % 3) if seed % 6 else overwrite(graph, seed, 0.02)
        (place / "good" / _GRAPH).write_bytes(changed)
        cases.append(Case("bit flips", f"SavedModel {seed}", _pack(place / "good")))
    return cases


def _make_keras_files(place: Path) -> list[Case]:
    import keras

    from tests.model.tampering import find_entries, rewrite, rewrite_weights

    path = place / "model.keras"

    def save() -> Path:
        images = keras.Input((8, 8, 3))
        x = keras.layers.DepthwiseConv2D(3)(images)
        x = keras.layers.Dense(4, activation="relu")(keras.layers.Flatten()(x))
        keras.Model(images, x).save(path)
        return path

    cases = [Case("as it is", "keras", _pack(save()))]
    functions = (
        ("keras.applications.imagenet_utils", "decode_predictions"),
        ("keras.datasets.mnist", "load_data"),
        ("keras.utils", "get_file"),
        ("builtins", "eval"),
    )
    changes: dict[str, tuple[str, dict[str, Any]]] = {
        f"function {name}": (
            "Dense",
            {"activation": {"module": module, "class_name": "function", "config": name}},
        )
        for module, name in functions
    }
    changes |= {
        "units": ("Dense", {"units": 20_000_000}),
        "channels": ("DepthwiseConv2D", {"depth_multiplier": 50_000_000}),
        "kernel": ("DepthwiseConv2D", {"kernel_size": [1 << 20, 1 << 20]}),
        "text": ("Dense", {"name": "x" * (63 << 20)}),
        "images": ("InputLayer", {"batch_shape": [None, 1 << 20, 1 << 20, 3]}),
    }
    for name, (kind, change) in changes.items():

        def apply(config: Any, kind: str = kind, change: dict[str, Any] = change) -> Any:
            find_entries(config, kind)[0]["config"].update(change)
            return config

        cases.append(
            Case(
                "programs" if "function" in name else "claims", name, _pack(rewrite(save(), apply))
            )
        )
    for name, options in (("packed", {"compression": "gzip"}), ("not there", {})):
        swollen = rewrite_weights(
            save(),
            lambda file, options=options: file.create_dataset("x", (1 << 29,), "<f4", **options),
        )
        cases.append(Case("claims", f"weights {name}", _pack(swollen)))
    config = _read_config(save())
    for seed in range(60):
        changed = flip_bits(config, seed, 1 + seed % 3)
        cases.append(Case("bit flips", f"keras {seed}", _pack(_replace_config(save(), changed))))
    return cases


def _read_config(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json")


def _replace_config(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in members.items():
            archive.writestr(name, content if name == "config.json" else old)
    return path


def _pack(path: Path) -> bytes:
    stream = io.BytesIO()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    with zipfile.ZipFile(stream, "w") as archive:
        for file in files:
            archive.write(file, str(file.relative_to(path.parent if path.is_file() else path)))
    return stream.getvalue()


def read(case: Case, folder: Path) -> str:
    """Load a model as ``profile`` and ``train`` do; say what came of it."""
    import tensorflow as tf

    from tests.hostile.saved_model_attacks import SIZE
    from tfclassify.backbones.hub_layer import build_hub
    from tfclassify.model.keras_files import load_keras_file

    os.chdir(folder)
    (folder / "secret").write_text("top secret")
    with zipfile.ZipFile(io.BytesIO(case.content)) as archive:
        archive.extractall(folder / "m")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    try:
        if (folder / "m" / "model.keras").is_file():
            load_keras_file(folder / "m" / "model.keras")
        else:
            model = build_hub(folder / "m", SIZE, "m")
            with tf.GradientTape() as tape:
                answer = tf.reduce_sum(model(tf.ones((1, *SIZE, 3)), training=True))
            tape.gradient(answer, model.trainable_variables)
            assert case.group != "programs", "a program was loaded"
    finally:
        after = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        assert after == before, "something was written"
    return "read"
