"""Verbs that give a model to others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify.api.parameters import AnyPath, Source
from tfclassify.api.progress import choose_observer
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.workflows.publish import PublishResult
    from tfclassify.workflows.verify import VerifyResult


def publish(
    run: AnyPath,
    target: Source,
    *,
    format: Sequence[str] = (),
    license: str = "",
    samples: int = 0,
    file_names: bool = False,
    private: bool = False,
    dry_run: bool = False,
    progress: bool | Observer = True,
) -> PublishResult:
    """Publish a model with its card and with what its scores follow from.

    Args:
        run: A run, such as ``reports/plants/001``; from Python also a ``Run``.
        target: ``hf:user/name`` on Hugging Face's Hub, or a folder.
        format: Form of an artefact that goes along, such as ``onnx``; repeatable.
        license: Terms of the model, in the Hub's words such as ``apache-2.0``.
        samples: Held-out photos to publish with it; 0: images that are drawn.
        file_names: Let names of the data's files appear.
        private: Make the repository private, if one is made.
        dry_run: Only say what would be published.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        TargetError: If there is no such run, or the target cannot be one.
        RequestError: If more samples are asked for than there are photos.
        PublishError: If something private would leave the machine, or the Hub refuses.
        MissingExtraError: If the Hub's package is not installed.
        ExportError: If an artefact disagrees with the model.
    """
    from tfclassify.workflows.publish import PublishRequest, publish_run

    request = PublishRequest(
        Path(run),
        os.fspath(target),
        tuple(format),
        license,
        samples,
        file_names,
        private,
        dry_run,
    )
    return publish_run(request, choose_observer(progress))


def verify(run: AnyPath, *, progress: bool | Observer = True) -> VerifyResult:
    """Compute what a published model claims of itself once more, and compare.

    Args:
        run: Folder of a published model, or its ``hf:user/name`` address.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        TargetError: If the folder is none that was published.
        PublishError: If its facts are damaged, or it cannot be fetched.
        BundleError: If its model is damaged, or could run code.
    """
    from tfclassify.workflows.verify import VerifyRequest, verify_published

    return verify_published(VerifyRequest(Path(run)), choose_observer(progress))
