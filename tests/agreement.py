"""Contract 12: several devices train as one does.

    python -m tests.agreement             # a few trainings on one and on two devices
    python -m tests.agreement --full      # every optimizer with every option
    python -m tests.agreement --processes 2

Each training is run twice on the same images: by one device, and by two logical processors of
one process, or by two processes. The table tells how far apart the losses of an epoch ever
are, and those on validation, where the phase trains no BatchNorm: the bias before a BatchNorm
has no influence on the loss of a batch, so its gradient is nothing but rounding.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.ports import choose_addresses

#: Updates are at least 20: twelve images in batches of 5, 5 and 2, seven times over.
BATCH, EPOCHS = 5, 7
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "adagrad")
#: An option of a training by its name: keys of the phase, sections of the recipe.
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "mixing": ({}, {"augment": {"flip": ["horizontal"], "mix": {"cutmix": 0.5, "mixup": 0.5}}}),
    "class weights": ({}, {"class_weights": {"a": 1.0}}),
    "ema": ({"ema": 0.9}, {}),
    "accumulate": ({"accumulate": 2}, {}),
    "clip": ({"clip_norm": 0.1}, {}),
    "mining": ({}, {"mining": {"delta": 0.5, "ceiling": 3.0}}),
    "weight decay": ({"weight_decay": 0.1}, {}),
    "layer decay": ({"layer_decay": 0.7}, {}),
    "trained batch_norm": ({}, {"norm": True}),
    "teacher": ({}, {"distil": {"teacher": "t", "alpha": 0.5}}),
    "label sets": ({}, {"task": "multi_label"}),
    "features": ({"train": "head", "features": {"views": 1}}, {}),
    "int8": ({"quantise": True}, {}),
    "rigl": ({"prune": {"sparsity": 0.5, "method": "rigl", "every": 4}}, {}),
    "hub module": ({}, {"model": "hub module"}),
    "stack": ({}, {"model": "stack"}),
}
#: The trainings of the default run: every optimizer once, every option of the contract.
FEW = (
    ("adam", ("mixing", "class weights")),
    ("adamw", ("ema", "clip", "weight decay")),
    ("sgd", ("accumulate", "mining")),
    ("rmsprop", ("teacher", "layer decay")),
    ("adagrad", ("trained batch_norm",)),
    ("adam", ("hub module", "clip", "mixing")),
    ("sgd", ("stack", "ema")),
)


def list_trainings(*, full: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """List optimizers with the options that they are tried with."""
    if not full:
        yield from FEW
        return
    for optimizer in OPTIMIZERS:
        for option in OPTIONS:
            yield optimizer, (option,)
        yield optimizer, ("mixing", "class weights", "ema", "accumulate", "clip", "mining")


def make_model(kind: str, home: Path, *, is_normed: bool) -> dict[str, Any]:
    """Write the section ``model`` of a recipe; hub modules are made where they are missing."""
    from tests.hub_modules import make_hub_module

    head = {"dropout": 0.2, "l2": 0.001}
    module = {"backbone": f"hub:{home / 'module'}", "input_range": [0, 1]}
    if kind and not (home / "module").exists():
        make_hub_module(home / "module", size=(None, None))
    if kind == "hub module":
        return {**module, "batch_norm": "frozen", "head": head}
    if kind == "stack":
        members = [module, {"backbone": "mobilenet_025", "weights": "none"}]
        return {"stack": members, "batch_norm": "frozen", "head": head}
    layers = [{"conv": 4, "stride": 2, "batch_norm": is_normed, "dropout": 0.2}]
    layers.append({"conv": 6, "pool": 2})
    return {"backbone": "custom_cnn", "weights": "none", "layers": layers, "head": head}


def train(optimizer: str, options: tuple[str, ...], home: Path, replicas: Any) -> dict[str, Any]:
    """Train; return the losses of the epochs, in training and on validation, and the weights."""
    from tests.training.builders import make_recipe, make_trainer, weights_of

    phase: dict[str, Any] = {"name": "p", "train": "all", "epochs": EPOCHS, "optimizer": optimizer}
    phase["learning_rate"] = 0.03 if optimizer in ("sgd", "adagrad") else 0.003
    sections: dict[str, Any] = {"batch_size": BATCH}
    for option in options:
        phase |= OPTIONS[option][0]
        sections |= OPTIONS[option][1]
    is_normed = sections.pop("norm", False)
    weights = np.array([1.0, 2.0, 0.5], np.float32) if sections.pop("class_weights", 0) else None
    sections["model"] = make_model(sections.pop("model", ""), home, is_normed=is_normed)
    if "stack" in sections["model"]:
        sections["data"] = {"source": "photos", "image_size": 32}
    state = Path(tempfile.mkdtemp(dir=home))
    trainer = make_trainer(
        make_recipe([phase], **sections),
        home / "photos",
        state,
        class_weights=weights,
        replicas=replicas,
    )
    records = trainer.run()
    return {
        "train": [record.train["loss"] for record in records],
        "validation": [record.validation["loss"] for record in records],
        "weights": weights_of(trainer),
        "is_normed": is_normed,
    }


def compare(
    trainings: Iterator[tuple[str, tuple[str, ...]]],
    home: Path,
    several: Any,
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Run each training by one device and by several, and report how far apart they are."""
    from tests.builders import make_photo_folder
    from tfclassify.training.replicas import ONE

    make_photo_folder(home / "photos", images_per_class=6)
    for optimizer, options in trainings:
        one, more = (train(optimizer, options, home, each) for each in (ONE, several))
        gaps = {
            name: float(np.abs(np.subtract(one[name], more[name])).max())
            for name in ("train", "validation")
        }
        learnt = one["train"][0] - one["train"][-1]
        report(
            {
                "optimizer": optimizer,
                "options": " + ".join(options),
                "loss": one["train"][-1],
                "learnt": learnt,
                "gap": gaps["train"],
                "gap_validation": None if one["is_normed"] else gaps["validation"],
            }
        )


def print_row(row: dict[str, Any]) -> None:
    """Print a row of the table."""
    judged = row["gap_validation"]
    print(
        f"{row['optimizer']:8} {row['options']:66} {row['loss']:9.6f} {row['gap']:8.1e} "
        + ("       -" if judged is None else f"{judged:8.1e}"),
        flush=True,
    )


def open_devices(count: int) -> Any:
    """Open logical processors of this process."""
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(processor, parts)
    from tfclassify.training.replicas import Replicas

    return Replicas(tf.distribute.MirroredStrategy([f"CPU:{place}" for place in range(count)]))


def open_process(addresses: str) -> Any:
    """Join the other processes, whose addresses these are."""
    from tfclassify.training.devices import join_processes
    from tfclassify.training.workers import find_workers, meet

    workers = find_workers("multi_worker", addresses)
    assert workers is not None
    meet(workers, {}, {})
    return join_processes(workers)


def main() -> int:
    """Print the table; fail where a gap is larger than 1e-5."""
    parser = argparse.ArgumentParser(prog="python -m tests.agreement")
    parser.add_argument("--full", action="store_true", help="every optimizer with every option")
    parser.add_argument("--devices", type=int, default=2, help="logical processors")
    parser.add_argument("--processes", type=int, default=1, help="processes in their place")
    parser.add_argument("--join", help="addresses; how one process is told of the others")
    parser.add_argument("--json", action="store_true", help="one row a line, for programs")
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    others = []
    if given.processes > 1:
        given.join = ",".join(choose_addresses(given.processes))
        command = [sys.executable, "-m", "tests.agreement", "--join", given.join]
        command += ["--full"] * given.full
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        others = [subprocess.Popen(command, **quiet) for _ in range(given.processes - 1)]
    several = open_process(given.join) if given.join else open_devices(given.devices)
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    rows: list[dict[str, Any]] = []

    def report(row: dict[str, Any]) -> None:
        rows.append(row)
        print(json.dumps(row), flush=True) if given.json else print_row(row)

    with tempfile.TemporaryDirectory() as folder:
        compare(list_trainings(full=given.full), Path(folder), several, report)
    worst = max(max(row["gap"], row["gap_validation"] or 0.0) for row in rows)
    several.close()
    is_told = all(process.wait() == 0 for process in others)
    if not given.json:
        kind = "processes" if given.join else "devices"
        print(f"{len(rows)} trainings, {several.count} {kind}: at most {worst:.1e} apart")
    return int(worst > 1e-5 or not is_told)


if __name__ == "__main__":
    sys.exit(main())
