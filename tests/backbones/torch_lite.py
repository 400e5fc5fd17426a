"""EfficientNet-Lite written in torch from the published description, as an oracle.

Shares no code with the package: it reads the shapes of the weights to find the blocks,
pads by TensorFlow's published rule for 'SAME', and calls torch's functions only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def torch_logits(path: Path, images: np.ndarray) -> np.ndarray:
    """Return the logits ``(n, 1000)`` of images ``(n, h, w, 3)`` in 0..255."""
    import torch
    import torch.nn.functional as functional

    weights = torch.load(path, weights_only=True)

    def pad(x: Any, kernel: int, stride: int) -> Any:
        sides = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides += [total // 2, total - total // 2]
        return functional.pad(x, sides)

    def convolve(x: Any, name: str, norm: str, stride: int = 1, groups: int = 1) -> Any:
        kernel = weights[f"{name}.weight"]
        x = pad(x, kernel.shape[-1], stride)
        x = functional.conv2d(x, kernel, stride=stride, groups=groups)
        mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        scale, shift = weights[f"{norm}.weight"], weights[f"{norm}.bias"]
        return functional.batch_norm(x, mean, variance, scale, shift, False, 0.0, 1e-3)

    x = torch.from_numpy(((images.astype(np.float64) - 127) / 128).astype(np.float32))
    x = functional.relu6(convolve(x.permute(0, 3, 1, 2), "_conv_stem", "_bn0", stride=2))
    strides = iter((1, 2, 2, 2, 1, 2, 1))  # of the seven stages
    number = 0
    while f"_blocks.{number}._depthwise_conv.weight" in weights:
        block = f"_blocks.{number}"
        shortcut = x
        channels = weights[f"{block}._project_conv.weight"].shape[0]
        is_same = number > 0 and channels == x.shape[1]
        stride = 1 if is_same else next(strides)
        if f"{block}._expand_conv.weight" in weights:
            x = functional.relu6(convolve(x, f"{block}._expand_conv", f"{block}._bn0"))
        wide = x.shape[1]
        x = convolve(x, f"{block}._depthwise_conv", f"{block}._bn1", stride, wide)
        x = convolve(functional.relu6(x), f"{block}._project_conv", f"{block}._bn2")
        x = x + shortcut if is_same else x
        number += 1
    x = functional.relu6(convolve(x, "_conv_head", "_bn1")).mean((2, 3))
    return functional.linear(x, weights["_fc.weight"], weights["_fc.bias"]).numpy()
