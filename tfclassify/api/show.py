"""Verbs that show a model at work: ``explain``, ``demo``, ``serve``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.parameters import AnyPath, read_path
from tfclassify.api.progress import choose_observer
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.inference.evidence import Explanations
    from tfclassify.inference.prediction import ImageInput


def explain(
    run: AnyPath,
    images: ImageInput | Sequence[ImageInput],
    *,
    classes: str | Sequence[str] = (),
    tta: bool | None = None,
    method: Literal["auto", "grad-cam", "occlusion"] = "auto",
    out: AnyPath | None = None,
    maps: AnyPath | None = None,
    overlays: AnyPath | None = None,
    progress: bool | Observer = True,
) -> Explanations:
    """Show where in images a model sees the evidence for a class.

    Args:
        run: A run, such as ``reports/plants/001``, a bundle or an artefact.
        images: Images, folders of images, https addresses; from Python also PIL images and
            uint8 arrays of ``(height, width, 3)``.
        classes: Class to explain; repeatable; default: the predicted one.
        tta: Average over the recipe's views; default: if it has any.
        method: ``auto`` reads the network's last feature maps (Grad-CAM) where it has any,
            and covers parts of the image where it has none.
        out: Picture of all photos with their maps to write.
        maps: ``.npz`` of the maps to write.
        overlays: Folder to write each photo to, at its own size with its map laid over it.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        One entry an image and class: its ``evidence``, and ``overlay()``, a picture.

    Raises:
        TargetError: If there is no such run, or a folder holds no image.
        RequestError: If there is no such class, or views are asked for that there are not.
        ModelError: If grad-cam is asked for and the network has no feature map.
    """
    from tfclassify.workflows.explain import ExplainRequest, explain_paths

    names = (classes,) if isinstance(classes, str) else tuple(classes)
    targets = (read_path(path) for path in (out, maps, overlays))
    request = ExplainRequest(Path(run), images, names, tta, method, *targets)
    return explain_paths(request, choose_observer(progress))


def demo(
    runs: AnyPath | Sequence[AnyPath],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = True,
    static: AnyPath | None = None,
    runtime: AnyPath | None = None,
    progress: bool | Observer = True,
) -> Path | None:
    """Show a page on which one gives photos to models, until it is stopped.

    Args:
        runs: A run, a bundle or an artefact, or up to four side by side.
        host: Address to listen at; others than 127.0.0.1 are reached from elsewhere.
        port: Port; 0 for any that is free.
        browser: Open the page in the browser.
        static: Folder to write the page to instead, without Python behind it.
        runtime: static: the npm package of onnxruntime-web to put in.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        The folder that was written; None where the page was served.

    Raises:
        MissingExtraError: If the extra ``web`` is not installed.
        TargetError: If there is no such run.
        RequestError: If the port is taken, or too many runs are named.
    """
    from tfclassify.web.demo import DemoRequest, run_demo

    named = [runs] if isinstance(runs, (str, os.PathLike)) else list(runs)
    folder, package = (read_path(path) for path in (static, runtime))
    request = DemoRequest(tuple(map(Path, named)), host, port, browser, folder, package)
    observer = choose_observer(progress)
    return run_demo(request, observer, lambda address: observer.on_note(f"open {address}"))


def serve(
    run: AnyPath,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    name: str = "",
    tta: bool | None = None,
    workers: int = 1,
    threads: int = 0,
    batch_size: int = 32,
    wait_ms: float = 5.0,
    queue: int = 256,
    max_bytes: int = 32 << 20,
    max_pixels: int = 40_000_000,
    max_images: int = 64,
    timeout: float = 30.0,
    watch: float | None = None,
    names: Sequence[str] = (),
    token_file: AnyPath | None = None,
    log: bool = True,
    progress: bool | Observer = True,
) -> None:
    """Answer over HTTP until it is stopped: ``/v1/predict``, ``/v1/explain``, ``/v2``, ``/docs``.

    A token that clients must send is read from ``token_file``, or else from the environment
    variable ``TFCLASSIFY_TOKEN``; without either, whoever reaches the port may ask.

    Args:
        run: A run, such as ``reports/plants/001``, a bundle or an artefact. ONNX and LiteRT
            artefacts are served without TensorFlow.
        host: Address to listen at; 0.0.0.0 for all of this machine's.
        port: Port; 0 for any that is free.
        name: What the model is called in addresses; empty for its recipe's name.
        tta: Average over the recipe's views; default: if it has any.
        workers: Processes, each with the model in its memory.
        threads: Of an artefact's runtime; 0 leaves their number to it.
        batch_size: Images that go through the network together at most.
        wait_ms: Longest wait, in milliseconds, for images that are on their way.
        queue: Images under way at once; past it, requests are refused with 429.
        max_bytes: Of a request.
        max_pixels: Of an image.
        max_images: Of a request.
        timeout: Seconds after which a request is given up with 504.
        watch: Seconds between two looks for a newer model, which then takes over; default:
            never.
        names: Further host name that it answers to, as behind a proxy; repeatable.
        token_file: File that holds the token; default: TFCLASSIFY_TOKEN, if set.
        log: Write a line of JSON on standard error for each request.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        TargetError: If there is no such model.
        RequestError: If the port is taken, or an option makes no sense.
        MissingExtraError: If the extra ``web``, or an artefact's runtime, is not installed.
    """
    from tfclassify.web.prediction_server import ServeOptions, read_token, run_server
    from tfclassify.web.server import require_web

    require_web()
    from tfclassify.web.uploads import Limits

    observer = choose_observer(progress)
    options = ServeOptions(
        Path(run),
        host=host,
        port=port,
        name=name,
        use_tta=tta,
        workers=workers,
        threads=threads,
        batch_size=batch_size,
        wait_ms=wait_ms,
        watch=watch,
        names=tuple(names),
        token=read_token(read_path(token_file)),
        limits=Limits(max_bytes, max_pixels, max_images, timeout, queue),
        has_log=log,
    )
    run_server(
        options, observer, lambda address: observer.on_note(f"serving {run} at {address}docs")
    )
