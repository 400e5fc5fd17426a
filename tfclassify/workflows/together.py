"""One training by several processes: the first one writes the run, the others compute with it.

Owns: what they compare before they begin, what another process than the first does, what is
said where one is lost. Does not own: who they are and how they meet (``training.workers``),
the step (``training.replicas``).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify.data.preparation import PreparedData
from tfclassify.data.scan import fingerprint_index
from tfclassify.errors import RequestError, RunError
from tfclassify.events import Observer
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.environment import list_packages
from tfclassify.training.workers import Workers, meet
from tfclassify.workflows.batch_fitting import list_open_phases
from tfclassify.workflows.material import build_network, open_material
from tfclassify.workflows.resuming import DECISIVE, list_values
from tfclassify.workflows.start import set_up_keras, start_tensorflow

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier
    from tfclassify.training.replicas import Replicas
    from tfclassify.training.sources import Material


def join(
    workers: Workers, recipe: Recipe, data: PreparedData, run: str, how: str, observer: Observer
) -> tuple[Replicas, Path]:
    """Meet the other processes, and connect TensorFlow with theirs.

    Args:
        workers: Who they are.
        recipe: What this one trains by.
        data: The images that it sees.
        run: Folder of the run, as the first one knows it.
        how: What is begun: ``new``, or which epochs are resumed.
        observer: Told of the waiting.

    Returns:
        The devices of all, and the run's folder.

    Raises:
        RequestError: If the processes want different things.
        TrainingError: If one does not come.
    """
    if list_open_phases(recipe):
        with workers.listener:
            raise RequestError(
                "batch_size: auto is found out on one machine, and several workers need the same; "
                "give a number, such as --set batch_size=32"
            )
    versions = list_packages()
    facts = {
        **list_values(recipe),
        **{name: versions.get(name, "absent") for name in DECISIVE},
        "images, labels and splits": fingerprint_index(data.index),
        "training": how,
    }
    told = meet(workers, facts, {"run": run}, observer.on_note)
    start_tensorflow(is_begun=False)
    from tfclassify.training.devices import check_recipe, join_processes

    replicas = join_processes(workers)
    check_recipe(replicas, recipe)
    observer.on_note(f"{workers}: all are there, {replicas.count} devices together")
    return replicas, Path(told["run"])


def confirm(replicas: Replicas, classifier: Classifier, material: Material) -> None:
    """Compare the weights that the processes begin with, and their teachers.

    Raises:
        RequestError: If they are not those of the first process.
    """
    if replicas.workers == 1:
        return
    digest = hashlib.sha256(material.teacher.digest.encode() if material.teacher else b"")
    for weight in classifier.network.get_weights():
        digest.update(weight.tobytes())
    if replicas.share(digest.digest()) != digest.digest():
        raise RequestError(
            f"worker {replicas.worker + 1} of {replicas.workers}: its network begins with other "
            "weights, or learns from another teacher, than the first worker's; give every "
            "machine the same files of weights and the same versions"
        )


def follow(
    workers: Workers, recipe: Recipe, data: PreparedData, state: Path | None, observer: Observer
) -> tuple[Path, int, str]:
    """Compute with the first process; nothing is written but a state of its own, for a while.

    Args:
        workers: Who they are.
        recipe: The recipe.
        data: The images, split.
        state: State of the run that is resumed; None for a new one.
        observer: Told of progress.

    Returns:
        The run's folder, as the first process knows it; epochs; the phase that was kept.

    Raises:
        TfclassifyError: If the processes differ, one is lost, or the training fails.
    """
    with tempfile.TemporaryDirectory(prefix="tfclassify-") as folder:
        own = Path(folder) / "state"
        if state is None:
            own.mkdir()
        else:
            shutil.copytree(state, own)  # before the first process goes on writing it
        replicas, run = join(workers, recipe, data, "", say_how(state), observer)
        with explain_loss(workers, str(run), lambda: "the first worker keeps its finished epochs"):
            set_up_keras(recipe)
            from tfclassify.training.trainer import Trainer

            classifier = build_network(recipe, data.index)
            material = open_material(recipe, data.index, observer)
            confirm(replicas, classifier, material)
            trainer = Trainer(
                recipe, classifier, material, own, observer=observer, replicas=replicas
            )
            records = trainer.run(resume=state is not None)
            replicas.close()
    return run, len(records), trainer.kept_phase


def say_how(state: Path | None) -> str:
    """Say what is begun: a new training, or one that is resumed from a state."""
    if state is None:
        return "new"
    last = state / "last.npz"
    return f"resumed from {hashlib.sha256(last.read_bytes()).hexdigest()[:12]}" * last.exists()


@contextmanager
def explain_loss(
    workers: Workers | None, run: str, describe_kept: Callable[[], str]
) -> Iterator[None]:
    """Turn what TensorFlow says of a lost process into one line with the way on.

    Raises:
        RunError: If another process stopped, or cannot be reached.
    """
    try:
        yield
    except Exception as error:
        if workers is None:
            raise
        from tensorflow import errors

        lost = (
            errors.UnavailableError,
            errors.AbortedError,
            errors.CancelledError,
            errors.DeadlineExceededError,
            errors.FailedPreconditionError,
            errors.InternalError,
        )
        if not isinstance(error, lost):
            raise
        others = [each for each in workers.addresses if each != workers.addresses[workers.place]]
        raise RunError(
            f"{workers}: another one stopped or cannot be reached ({', '.join(others)}; its own "
            f"output says why), so all stop; {describe_kept()}. Resume by the same command "
            f"on every machine, with: --resume --out {run}"
        ) from error
