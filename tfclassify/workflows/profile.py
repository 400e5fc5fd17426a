"""``profile``: what each layer of a network costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.pages.profile_page import SORTS, LatencyRow, LayerRow, NetworkReport
from tfclassify.pages.wording import count_of
from tfclassify.profiler.results import LayerProfile, Profile, fold_layers
from tfclassify.profiler.roofline import join_rated
from tfclassify.profiler.targets import Kind, Target, find_newest_run, find_target
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from tfclassify.profiler.results import Latency

_LARGEST_SIDE = 16384


@dataclass(frozen=True)
class ProfileRequest:
    """What to profile.

    Attributes:
        targets: What the user named; none for the newest run.
        image_sizes: ``(height, width)`` in pixels, one profile each; none for the
            model's own size.
        batch_size: Images a timed run, besides one.
        has_latency: Whether to measure times.
        device: ``cpu``, ``gpu:0`` and so on; None for a GPU if there is one.
        depth: Names of a path that are told apart, or None for every layer.
        sort: What the layers are sorted by, or None for the network's order.
        top: How many layers are shown, or None for all.
    """

    targets: tuple[str, ...] = ()
    image_sizes: tuple[tuple[int, int], ...] = ()
    batch_size: int = 1
    has_latency: bool = True
    device: str | None = None
    depth: int | None = None
    sort: str | None = None
    top: int | None = None


@dataclass(frozen=True)
class Profiled:
    """One profiled network, and the layers of it to show.

    Attributes:
        profile: Everything.
        layers: Folded, sorted and cut as asked for.
    """

    profile: Profile
    layers: tuple[LayerProfile, ...]


@verb
def profile_targets(request: ProfileRequest, observer: Observer = SILENT) -> tuple[Profiled, ...]:
    """Profile every target at every size.

    Raises:
        RequestError: If a target is unknown, its size is not fixed, or the device is
            not there.
        ProfileError: If a model cannot be loaded or run.
    """
    _check(request)
    targets = [find_target(text) for text in request.targets] or [find_newest_run()]
    start_tensorflow()
    from tfclassify.profiler.latency import choose_device

    device = choose_device(request.device)
    sizes = request.image_sizes or (None,)
    jobs = [(target, size) for target in targets for size in sizes]
    observer.on_task_start("profiling", len(jobs))
    found = []
    for number, (target, size) in enumerate(jobs, start=1):
        profile = _profile_one(target, size, device, request, observer)
        found.append(Profiled(profile, choose_layers(profile, request)))
        observer.on_task_step("profiling", number)
    observer.on_task_end("profiling")
    return tuple(found)


def _check(request: ProfileRequest) -> None:
    if request.sort is not None and request.sort not in SORTS:
        raise RequestError(f"--sort: got {request.sort!r}, allowed are {', '.join(SORTS)}")
    if request.sort == "latency" and not request.has_latency:
        raise RequestError("--sort latency: nothing is timed under --no-latency; leave one out")


def _profile_one(
    target: Target,
    size: tuple[int, int] | None,
    device: str,
    request: ProfileRequest,
    observer: Observer,
) -> Profile:
    import keras

    target = _look_inside(target)
    kinds = {"saved_model": _profile_saved, "hub": _profile_saved, "artefact": _profile_operators}
    profile = kinds.get(target.kind, _profile_keras)(target, size, device, request, observer)
    keras.backend.clear_session()
    return profile


def _look_inside(target: Target) -> Target:
    """Name the SavedModel or Keras file of an artefact; others are what they are."""
    if target.kind != "artefact":
        return target
    from tfclassify.export.operators import is_counted_here
    from tfclassify.export.reading import read_facts

    if is_counted_here(target.path):
        return target
    facts = read_facts(target.path)
    kind: Kind = "keras" if facts["artefact"] == "keras" else "saved_model"
    return Target(kind, target.text, target.path / facts["file"])


def _profile_operators(
    target: Target,
    size: tuple[int, int] | None,
    device: str,
    request: ProfileRequest,
    observer: Observer,
) -> Profile:
    from tfclassify.export.operators import profile_artefact, time_artefact
    from tfclassify.profiler.subjects import fix_shapes

    profile = profile_artefact(target.path, target.text)
    fix_shapes(target.text, profile.input_shapes, size)
    if not request.has_latency:
        return profile
    return time_artefact(profile, target.path, request.batch_size)


def _profile_keras(
    target: Target,
    size: tuple[int, int] | None,
    device: str,
    request: ProfileRequest,
    observer: Observer,
) -> Profile:
    import tensorflow as tf

    from tfclassify.profiler.keras_profile import profile_model
    from tfclassify.profiler.latency import add_latency
    from tfclassify.profiler.subjects import load_subject

    with tf.device(device):
        subject = load_subject(target, size, observer)
        profile = profile_model(
            subject.model, subject.shapes, title=subject.title, target=subject.target
        )
    if request.has_latency:
        profile = add_latency(profile, subject.model, subject.shapes, request.batch_size, device)
    return replace(profile, remarks=(*subject.remarks, *profile.remarks))


def _profile_saved(
    target: Target,
    size: tuple[int, int] | None,
    device: str,
    request: ProfileRequest,
    observer: Observer,
) -> Profile:
    import tensorflow as tf

    from tfclassify.backbones.hub_modules import fetch_module
    from tfclassify.profiler.saved_models import open_saved_model, profile_saved, time_saved

    folder = fetch_module(target.text) if target.kind == "hub" else target.path
    with tf.device(device):
        saved = open_saved_model(folder, size)
        profile = profile_saved(saved, title=target.path.name, target=target.text)
    if request.has_latency:
        profile = time_saved(profile, saved, request.batch_size, device)
    return profile


def parse_sizes(image_size: str | None, sweep: str | None) -> tuple[tuple[int, int], ...]:
    """Read ``224``, ``192x256``, or ``image_size=96,128,224``.

    Raises:
        RequestError: If it is not such a text, or both are given.
    """
    if sweep is None:
        return () if image_size is None else (_parse_size("--image-size", image_size),)
    key, _, values = sweep.partition("=")
    if key != "image_size" or not values:
        raise RequestError(f"--sweep: got {sweep!r}, write it as image_size=96,128,224")
    if image_size is not None:
        raise RequestError("--sweep: sets the image size, and so does --image-size; leave one out")
    return tuple(_parse_size("--sweep", text) for text in values.split(","))


def _parse_size(option: str, text: str) -> tuple[int, int]:
    height, _, width = text.strip().lower().partition("x")
    try:
        size = (int(height), int(width or height))
    except ValueError:
        size = (0, 0)
    if min(size) < 1 or max(size) > _LARGEST_SIDE:
        raise RequestError(
            f"{option}: got {text!r}, a size is one number of pixels up to {_LARGEST_SIDE}, "
            "or HEIGHTxWIDTH"
        )
    return size


def choose_layers(profile: Profile, request: ProfileRequest) -> tuple[LayerProfile, ...]:
    """Fold, sort and cut a profile's layers as asked for."""
    layers = profile.layers
    if request.depth is not None:
        layers = fold_layers(layers, request.depth)
    sort = request.sort or ("macs" if request.top is not None else None)
    if sort is not None:
        layers = tuple(
            sorted(layers, key=lambda layer: SORTS[sort](describe_layer(layer)), reverse=True)
        )
    return layers[: request.top]


def describe_layer(layer: LayerProfile) -> LayerRow:
    """Return a layer as the report takes it."""
    rated = layer.rated
    return LayerRow(
        layer.name,
        layer.kind if layer.calls == 1 else f"{layer.kind} x{layer.calls}",
        "/".join([*layer.path[:-1], *([layer.block] if layer.block else [])]),
        "x".join(map(str, layer.output_shape)) if layer.output_shape else "",
        layer.params,
        layer.macs,
        layer.flops,
        layer.weight_bytes,
        layer.activation_bytes,
        layer.receptive_field.describe() if layer.receptive_field else "",
        layer.latency_ms,
        layer.cost.uncounted.total(),
        *(() if rated is None else (rated.gflops, rated.gbytes, rated.bound, rated.share)),
    )


def describe_network(found: Profiled, *, is_whole: bool = False) -> NetworkReport:
    """Return a profile as the report takes it.

    Args:
        found: The profile.
        is_whole: Whether all layers are given, in the network's order.
    """
    profile = found.profile
    layers = profile.layers if is_whole else found.layers
    most_expensive = profile.most_expensive
    return NetworkReport(
        profile.model,
        profile.target,
        " + ".join("x".join(map(str, shape)) for shape in profile.input_shapes),
        profile.params,
        profile.trainable_params,
        profile.macs,
        profile.flops,
        dict(profile.cost.elementwise),
        dict(profile.cost.uncounted),
        profile.weight_bytes,
        profile.activation_bytes,
        profile.peak_activation_bytes,
        profile.receptive_field.describe() if profile.receptive_field else "",
        profile.precision,
        tuple(describe_layer(layer) for layer in layers),
        len(profile.layers),
        most_expensive.name if most_expensive else "",
        _list_timings(profile.latency),
        _list_latency_facts(profile),
        profile.remarks,
    )


def _list_timings(latency: Latency | None) -> tuple[LatencyRow, ...]:
    if latency is None:
        return ()
    timings = [latency.single]
    if latency.batch.batch_size != 1:
        timings.append(latency.batch)
    return tuple(
        LatencyRow(
            timing.batch_size,
            timing.runs,
            timing.median_ms,
            timing.p5_ms,
            timing.p95_ms,
            timing.images_per_second,
        )
        for timing in timings
    )


def _list_latency_facts(profile: Profile) -> tuple[tuple[str, str], ...]:
    latency = profile.latency
    if latency is None:
        return ()
    threads = f"{latency.threads} threads" if latency.threads else "as many threads as cores"
    facts = [
        ("device", f"{latency.device}, {latency.device_name}, {latency.cores} cores, {threads}"),
        ("precision", latency.precision),
        (
            "speed",
            f"{latency.achieved_gflops:.1f} GFLOP/s, {100 * latency.peak_share:.0f} % of the "
            f"{latency.roof.gflops:.1f} that a large matrix product reaches here",
        ),
    ]
    return (*facts, *_list_parts(latency), *_list_bounds(profile, latency))


def _list_parts(latency: Latency) -> list[tuple[str, str]]:
    """Say how far the layers' times come to the whole, and what the rest is."""
    if latency.parts_ms is None or latency.calling_ms is None or latency.between_ms is None:
        return []
    whole = latency.batch.median_ms
    size = latency.batch.batch_size
    parts = f"{latency.parts_ms:.2f} ms, {_per_cent(latency.parts_ms / whole)} of the whole"
    rest = (
        f"{_per_cent(latency.calling_ms / whole)} calling the network, "
        f"{_per_cent(latency.between_ms / whole)} between kernels"
    )
    return [("sum of the parts", f"{parts} at batch {size}"), ("the rest", rest)]


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _list_bounds(profile: Profile, latency: Latency) -> list[tuple[str, str]]:
    """Say how much of the layers' time computing and moving bind, and how near the roof."""
    rated = [layer.rated for layer in profile.layers if layer.rated is not None]
    reached = {
        "compute": f"{latency.roof.gflops:.1f} GFLOP/s",
        "memory": f"{latency.roof.gbytes:.1f} GB/s (a copy)",
    }
    time = sum(each.latency_ms for each in rated)
    facts = []
    for bound, roof in reached.items():
        those = [each for each in rated if each.bound == bound]
        joined = join_rated(those)
        if joined is not None:
            text = f"{count_of(len(those), 'layer')}, {_per_cent(joined.latency_ms / time)} of the"
            facts.append((f"{bound} bound", f"{text} time; {_per_cent(joined.share)} of {roof}"))
    return facts
