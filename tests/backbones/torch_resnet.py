"""A ResNet of basic blocks in torch, written from the paper's table 1, as an oracle.

Shares no code with the package; names and order of the tensors are torchvision's.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def make_state(depths: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    """Draw weights for a network by torchvision's names, classifier included."""
    generator = np.random.default_rng(seed)
    state: dict[str, np.ndarray] = {}

    def convolve(name: str, norm: str, inputs: int, outputs: int, kernel: int) -> None:
        deviation = np.sqrt(2 / (kernel * kernel * inputs))
        shape = (outputs, inputs, kernel, kernel)
        state[f"{name}.weight"] = generator.normal(0, deviation, shape).astype(np.float32)
        state[f"{norm}.weight"] = generator.uniform(0.5, 1.5, outputs).astype(np.float32)
        state[f"{norm}.bias"] = generator.normal(0, 0.1, outputs).astype(np.float32)
        state[f"{norm}.running_mean"] = generator.normal(0, 0.1, outputs).astype(np.float32)
        state[f"{norm}.running_var"] = generator.uniform(0.5, 2, outputs).astype(np.float32)
        state[f"{norm}.num_batches_tracked"] = np.array(7, np.int64)

    convolve("conv1", "bn1", 3, 64, 7)
    channels = 64
    for stage, depth in enumerate(depths, start=1):
        wide = 64 * 2 ** (stage - 1)
        for block in range(depth):
            name = f"layer{stage}.{block}"
            convolve(f"{name}.conv1", f"{name}.bn1", channels, wide, 3)
            convolve(f"{name}.conv2", f"{name}.bn2", wide, wide, 3)
            if channels != wide:
                convolve(f"{name}.downsample.0", f"{name}.downsample.1", channels, wide, 1)
            channels = wide
    state["fc.weight"] = generator.normal(0, 0.01, (1000, channels)).astype(np.float32)
    state["fc.bias"] = np.zeros(1000, np.float32)
    return state


def torch_features(state: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Return the feature map ``(n, h, w, c)`` of scaled images ``(n, H, W, 3)``."""
    import torch
    import torch.nn.functional as functional

    weights = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}

    def convolve(x: Any, name: str, norm: str, stride: int = 1) -> Any:
        kernel = weights[f"{name}.weight"]
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        scale, shift = weights[f"{norm}.weight"], weights[f"{norm}.bias"]
        return functional.batch_norm(x, mean, variance, scale, shift, False, 0.0, 1e-5)

    x = torch.from_numpy(images.transpose(0, 3, 1, 2))
    x = functional.relu(convolve(x, "conv1", "bn1", 2))
    x = functional.max_pool2d(x, 3, 2, 1)
    blocks = [name.removesuffix(".conv1.weight") for name in weights if ".conv1." in name]
    for block in blocks:
        has_shortcut = f"{block}.downsample.0.weight" in weights
        stride = 2 if has_shortcut else 1
        shortcut = x
        if has_shortcut:
            shortcut = convolve(x, f"{block}.downsample.0", f"{block}.downsample.1", stride)
        x = functional.relu(convolve(x, f"{block}.conv1", f"{block}.bn1", stride))
        x = functional.relu(convolve(x, f"{block}.conv2", f"{block}.bn2") + shortcut)
    return x.numpy().transpose(0, 2, 3, 1)
