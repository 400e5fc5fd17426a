from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from tfclassify.errors import MissingExtraError, RequestError
from tfclassify.export.formats import (
    ARTEFACT_FORMATS,
    check_request,
    get_format,
    register_artefact_format,
)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"unknown format 'onx'.*'onnx'"):
        get_format("onx")


def test_forms_of_ones_own_are_registered_once(monkeypatch) -> None:
    monkeypatch.setattr("tfclassify.export.formats.ARTEFACT_FORMATS", dict(ARTEFACT_FORMATS))
    own = replace(ARTEFACT_FORMATS["onnx"], name="own")
    register_artefact_format(own)
    assert get_format("own") is own
    with pytest.raises(RequestError, match="'own': there is one of this name"):
        register_artefact_format(own)


@pytest.mark.parametrize(
    ("form", "precision", "batch", "message"),
    [
        ("savedmodel", "int8", None, "savedmodel cannot be 'int8', allowed are float32;"),
        ("keras", "float16", None, "keras cannot be 'float16'"),
        ("onnx", "float8", None, "allowed are float32, float16, int8, int8-dynamic"),
        ("onnx", "float32", -1, "--batch: must be 0, for any number, or more, got -1"),
    ],
)
def test_what_a_form_cannot_be(form, precision, batch, message) -> None:
    with pytest.raises(RequestError, match=message):
        check_request(ARTEFACT_FORMATS[form], precision, batch)


@pytest.mark.parametrize(
    ("form", "package", "command"),
    [
        ("onnx", "tf2onnx", "onnx"),
        ("onnx", "onnxruntime", "onnx"),
        ("litert", "ai_edge_litert", "litert"),
    ],
)
def test_a_missing_extra_is_told_with_its_command(form, package, command, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'tfclassify\[{command}\]'"):
        check_request(ARTEFACT_FORMATS[form], "float32", None)
