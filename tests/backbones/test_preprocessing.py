"""The preprocessing layers survive every way a model leaves the house."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfclassify.backbones import contracts
from tfclassify.backbones.contracts import InputContract
from tfclassify.backbones.preprocessing import ReverseChannels, make_preprocessing

SCALED = (contracts.SYMMETRIC, contracts.TORCH, contracts.CAFFE, contracts.LITE, contracts.UNIT)
PIXELS = np.arange(2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3) * 2


def make_model(contract: InputContract) -> keras.Model:
    images = keras.Input((4, 5, 3))
    x = images
    for layer in make_preprocessing(contract):
        x = layer(x)
    return keras.Model(images, x)


def test_red_becomes_the_last_channel() -> None:
    assert np.asarray(ReverseChannels()(np.array([[[[1.0, 2.0, 3.0]]]]))).tolist() == [
        [[[3.0, 2.0, 1.0]]]
    ]
    assert ReverseChannels().compute_output_shape((None, 4, 5, 3)) == (None, 4, 5, 3)


@pytest.mark.parametrize("contract", SCALED, ids=lambda contract: contract.name)
def test_a_model_reloads_in_safe_mode(contract: InputContract, tmp_path: Path) -> None:
    model = make_model(contract)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True, compile=False)
    assert np.array_equal(model(PIXELS), again(PIXELS))


# TensorFlow's own interpreter runs the file without one more dependency.
@pytest.mark.filterwarnings(r"ignore:\s+Warning. tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("contract", [contracts.CAFFE, contracts.TORCH], ids=lambda c: c.name)
def test_savedmodel_and_tflite_agree(contract: InputContract, tmp_path: Path) -> None:
    model = make_model(contract)
    expected = np.asarray(model(PIXELS))
    saved = str(tmp_path / "saved")
    model.export(saved, verbose=False)
    served = tf.saved_model.load(saved).serve(PIXELS)
    assert np.array_equal(served, expected)
    content = tf.lite.TFLiteConverter.from_saved_model(saved).convert()
    interpreter = tf.lite.Interpreter(model_content=content)
    entry = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(entry, PIXELS.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry, PIXELS)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


def test_nothing_is_done_before_a_network_that_rescales_itself() -> None:
    assert make_preprocessing(contracts.RAW) == []


def test_bytes_are_not_rounded_under_mixed_precision() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make_model(contracts.CAFFE)
    finally:
        keras.config.set_dtype_policy(before)
    assert np.array_equal(model(PIXELS), make_model(contracts.CAFFE)(PIXELS))
