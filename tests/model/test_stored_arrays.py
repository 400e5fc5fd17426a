"""What lies in a saved model's weights is looked at before Keras reads it."""

from __future__ import annotations

import io
import json
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.backbones.networks import built
from tests.model.classifiers import make_images, make_recipe, make_tiny
from tests.model.test_bundle import CLASSES, seal
from tests.model.test_safety import rewrite
from tfclassify.errors import BundleError
from tfclassify.model.bundle import build_probability_model, load_bundle, save_bundle
from tfclassify.model.safety import list_objects
from tfclassify.model.stored_arrays import _Window, check_stored_arrays


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_bundle(tmp_path / "bundle", make_tiny(), classes=CLASSES, recipe=make_recipe())
    return tmp_path / "bundle"


def change_weights(folder: Path, change: Callable[[h5py.File], None]) -> Path:
    """Change the weights of a bundle's model, and its checksums, as an attacker would."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO(members["model.weights.h5"])
    with h5py.File(stream, "a") as file:
        change(file)
    members["model.weights.h5"] = stream.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    seal(folder)
    return path


def find_kernel(file: h5py.File) -> str:
    """Return the name of the last array of two axes: the head's."""
    names: list[str] = []
    file.visititems(
        lambda name, part: names.append(name) if len(getattr(part, "shape", ())) == 2 else None
    )
    return names[-1]


def check(path: Path) -> None:
    check_stored_arrays(path, list_objects(path))


def test_what_was_saved_is_accepted(folder: Path) -> None:
    check(folder / "model.keras")
    images = make_images(2)
    expected = build_probability_model(make_tiny())(images)
    assert np.allclose(load_bundle(folder).model(images), expected)


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v3_small",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("convnext_tiny", "nasnet_mobile", "xception", "efficientnet_v2_b0")
        ),
    ],
)
def test_backbones_are_accepted(name: str, tmp_path: Path) -> None:
    built(name).save(tmp_path / "model.keras")
    check(tmp_path / "model.keras")


def test_an_array_that_lies_in_another_file_is_refused(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 24))

    def link(file: h5py.File) -> None:
        name = find_kernel(file)
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, "<f4", external=[(str(secret), 0, 4 * 24)])

    change_weights(folder, link)
    with pytest.raises(BundleError, match=r"its array '.*' is not plain numbers in the file"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("/etc/hostname", "/x"), h5py.SoftLink("/layers")]
)
def test_a_link_is_refused(folder: Path, link: Any) -> None:
    change_weights(folder, lambda file: file.__setitem__("way", link))
    with pytest.raises(BundleError, match=r"'way' is a link out of its weights"):
        load_bundle(folder)


def test_a_virtual_array_is_refused(folder: Path) -> None:
    def gather(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((4,), "<f4")
        layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4,))
        file.create_virtual_dataset("gathered", layout)

    change_weights(folder, gather)
    with pytest.raises(BundleError, match="'/gathered' is not plain numbers"):
        load_bundle(folder)


@pytest.mark.parametrize("kind", [h5py.string_dtype(), h5py.ref_dtype, "V8", "S4", "c8"])
def test_what_is_no_number_is_refused(folder: Path, kind: Any) -> None:
    change_weights(folder, lambda file: file.create_dataset("odd", (2,), kind))
    with pytest.raises(BundleError, match="'/odd' is not plain numbers"):
        load_bundle(folder)


def test_an_array_of_a_terabyte_is_refused(folder: Path) -> None:
    change_weights(folder, lambda file: file.create_dataset("big", (1 << 38,), "<f4", chunks=True))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError, match=r"its weights claim 1,099,511,6\d\d,\d+ bytes in"):
        load_bundle(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_packed_weights_are_refused(folder: Path) -> None:
    path = folder / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    seal(folder)
    with pytest.raises(BundleError, match="its weights are packed, as Keras does not"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("Dense", "units", 1 << 30),
        ("Conv2D", "filters", 1 << 30),
        ("Conv2D", "kernel_size", [1 << 15, 1 << 15]),
    ],
)
def test_a_layer_larger_than_its_arrays_is_refused(
    folder: Path, kind: str, key: str, value: Any
) -> None:
    def swell(config: Any) -> Any:
        pending = [config]
        while pending:
            part = pending.pop()
            if isinstance(part, dict) and part.get("class_name") == kind:
                part["config"][key] = value
                return config
            pending += part.values() if isinstance(part, dict) else []
            pending += part if isinstance(part, list) else []
        raise AssertionError(kind)

    rewrite(folder / "model.keras", swell)
    seal(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError, match=rf"has {key} .*, but no array of that size"):
        load_bundle(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_an_input_beyond_reason_is_refused(folder: Path) -> None:
    def widen(config: Any) -> Any:
        text = json.dumps(config).replace("[null, 16, 24, 3]", "[null, 160000, 24, 3]")
        return json.loads(text)

    rewrite(folder / "model.keras", widen)
    seal(folder)
    with pytest.raises(BundleError, match=r"takes images of \[None, 160000, 24, 3\], allowed are"):
        load_bundle(folder)


def test_weights_in_a_circle_are_refused(folder: Path) -> None:
    change_weights(folder, lambda file: file.create_group("a").__setitem__("b", file["/"]))
    with pytest.raises(BundleError, match="its weights cannot be read"):
        load_bundle(folder)


def test_a_window_reads_what_the_entry_holds(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(5000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("before", b"x" * 99)
        archive.writestr("entry", content)
        archive.writestr("after", b"y" * 99)
        entry = archive.getinfo("entry")
    with _Window(tmp_path / "a.zip", entry) as window:
        assert window.read() == content
        assert window.seek(-10, 2) == 4990
        assert window.read(99) == content[-10:]
        assert window.seek(10) == window.tell() == 10
        assert window.seek(5, 1) == 15
        assert window.read(3) == content[15:18]
        assert window.readable()
        assert window.seekable()
