"""Artefacts of every form that are damaged, exchanged, or made to do more than compute.

Each case replaces one file of an artefact and writes its checksums anew, as whoever makes a
hostile one would. It is then opened, asked about two images, and profiled where its form is.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest import mock

import numpy as np

from tests.hostile.cases import Case, flip_bits, overwrite
from tests.hostile.run_folders import damage_file, damage_json, place_file

_SIZE = 32
_FILES = {
    "onnx": "model.onnx",
    "litert": "model.tflite",
    "savedmodel": "model/saved_model.pb",
    "keras": "model.keras",
}
_SECRET = np.arange(5, dtype="<f4").tobytes()


@cache
def make_scene() -> Path:
    """Write one artefact of each form of the same network; the proof is left out."""
    from tests.export.networks import make_bundle
    from tests.export.parity import SMALL
    from tfclassify.export import artefact
    from tfclassify.export.formats import ARTEFACT_FORMATS
    from tfclassify.export.proof import Agreement
    from tfclassify.model.bundle import load_bundle

    home = Path(mkdtemp(prefix="tfclassify-artefacts-"))
    bundle = load_bundle(make_bundle(home / "bundle", SMALL, _SIZE))
    agreement = Agreement(1, "none", 0, 0.0)
    with (
        mock.patch.object(artefact, "run_artefact"),
        mock.patch.object(artefact, "judge_artefact", return_value=agreement),
    ):
        for name in _FILES:
            artefact.write_artefact(home / name, ARTEFACT_FORMATS[name], bundle, mock.Mock())
    return home


def make_cases() -> list[Case]:
    """Make every hostile artefact."""
    home = make_scene()
    cases = []
    for form, file in _FILES.items():
        add = partial(_make_case, form, file)
        good = (home / form / file).read_bytes()
        cases.append(add("as it is", "whole", good))
        cases += [add("bytes", name, content) for _, name, content in damage_file(good)]
        # Weights fill the middle; what says how they are used stands at the ends.
        for seed in range(40):
            cases.append(add("bits at the ends", f"{seed}", _flip_ends(good, seed)))
        for other in _FILES.values():
            if other != file and (home / form / file).exists():
                content = next(p for p in home.glob(f"*/{other}")).read_bytes()
                cases.append(add("exchanged", other, content))
        cases += [
            _make_case(form, where, "no file", kind, b"", special=kind)
            for where in (file, "artefact.json", "recipe.json", "labels.txt")
            for kind in ("pipe", "link", "folder", "absent", "device")
        ]
    cases += [_make_case("onnx", "model.onnx", *each) for each in _attack_onnx()]
    cases += [_make_case("litert", "model.tflite", *each) for each in _attack_litert(home)]
    for file in ("artefact.json", "recipe.json"):
        good = (home / "onnx" / file).read_bytes()
        for group, name, content in damage_json(good):
            cases.append(_make_case("onnx", file, group, name, content))
    return cases


def _make_case(form: str, file: str, group: str, name: str, content: bytes, **more: Any) -> Case:
    return Case(group, f"{form}, {file}: {name}", content, {"form": form, "file": file, **more})


def _flip_ends(content: bytes, seed: int) -> bytes:
    part = min(2000, len(content) // 2)
    head, middle, tail = content[:part], content[part:-part], content[-part:]
    if seed % 5 == 0:
        return overwrite(head, seed, 0.01) + middle + overwrite(tail, seed, 0.01)
    if seed % 2:
        return flip_bits(head, seed, 1 + seed % 4) + middle + tail
    return head + middle + flip_bits(tail, seed, 1 + seed % 4)


def _attack_onnx() -> Iterator[tuple[str, str, bytes]]:
    """Make ONNX files that read elsewhere, do not end, or take more than there is."""
    from onnx import TensorProto, helper

    def make(nodes: list[Any], tensors: Any = (), output: str = "answer", **more: Any) -> bytes:
        shape = ["n", _SIZE, _SIZE, 3]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, more.pop("kind", TensorProto.FLOAT), None)],
            list(tensors),
        )
        own = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        model = helper.make_model(graph, opset_imports=own, ir_version=8, **more)
        return bytes(model.SerializeToString())

    mean = helper.make_node("ReduceMean", ["images"], ["means"], axes=[1, 2], keepdims=0)
    for where in ("../secret", "/etc/hostname", "labels.txt", "model.onnx", "../../../dev/zero"):
        outside = TensorProto(name="w", data_type=1, dims=[5], data_location=1)
        for key, value in {"location": where, "offset": "0", "length": "20"}.items():
            outside.external_data.add(key=key, value=value)
        add = helper.make_node("Add", ["one", "w"], ["answer"])
        one = helper.make_node("ReduceMean", ["images"], ["one"], axes=[1, 2, 3], keepdims=0)
        yield "programs", f"weights in {where}", make([one, add], [outside])
    own = helper.make_node("Own", ["images"], ["answer"], domain="own")
    yield "programs", "an operator of its own", make([own])

    def constant(name: str, values: list[int]) -> Any:
        return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)

    for exponent in (20, 15, 10):
        shape = constant("shape", [1 << exponent] * 3)
        fill = helper.make_node("ConstantOfShape", ["shape"], ["filled"])
        total = helper.make_node("ReduceSum", ["filled"], ["answer"], keepdims=0)
        yield "claims", f"a tensor of 2^{3 * exponent}", make([fill, total], [shape])
    repeats = constant("repeats", [1, 100, 100, 1])
    tile = helper.make_node("Tile", ["images", "repeats"], ["answer"])
    yield "claims", "tiles", make([tile], [repeats])
    nodes, last = [mean], "means"
    for turn in range(40):
        nodes.append(helper.make_node("Concat", [last, last], [f"c{turn}"], axis=1))
        last = f"c{turn}"
    yield "claims", "doubled 40 times", make(nodes, output=last)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["again"]),
            helper.make_node("Identity", ["x"], ["y"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["", "yes", "means"], ["answer"], body=body)
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    yield "programs", "a loop without end", make([mean, loop], [yes])
    yield (
        "answers",
        "three probabilities",
        make([helper.make_node("Relu", ["means"], ["answer"]), mean][::-1]),
    )
    divide = helper.make_node("Div", ["zeros", "zeros"], ["answer"])
    zeros = helper.make_node("Sub", ["images", "images"], ["zeros"])
    yield "answers", "no numbers", make([zeros, divide])
    name = helper.make_tensor("name", TensorProto.STRING, [1], [b"x"])
    say = helper.make_node("Identity", ["name"], ["answer"])
    yield "answers", "text", make([say], [name], kind=TensorProto.STRING)
    yield "answers", "none", make([])


def _attack_litert(home: Path) -> Iterator[tuple[str, str, bytes]]:
    """Make LiteRT files whose parts point elsewhere or claim more than there is."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    good = (home / "litert" / "model.tflite").read_bytes()

    def change(how: Any) -> bytes:
        model = schema.ModelT.InitFromPackedBuf(good, 0)
        how(model)
        builder = flatbuffers.Builder(len(good))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def set_code(model: Any, code: int) -> None:
        model.operatorCodes[0].builtinCode = code
        model.operatorCodes[0].deprecatedBuiltinCode = min(code, 127)

    def make_own(model: Any) -> None:
        set_code(model, 32)
        model.operatorCodes[0].customCode = b"Own"

    graph = "a tensor of"
    changes: dict[str, Any] = {
        "an operator of its own": make_own,
        "an operator that is none": lambda m: set_code(m, 5000),
        "a while loop": lambda m: set_code(m, 119),
        "a call": lambda m: set_code(m, 144),
        "an input that is none": lambda m: setattr(m.subgraphs[0].operators[0], "inputs", [9999]),
        "an output that is none": lambda m: setattr(m.subgraphs[0].operators[-1], "outputs", [-7]),
        "no inputs": lambda m: setattr(m.subgraphs[0], "inputs", []),
        "no outputs": lambda m: setattr(m.subgraphs[0], "outputs", []),
        "no graph": lambda m: setattr(m, "subgraphs", []),
        "a buffer that is none": lambda m: setattr(m.subgraphs[0].tensors[1], "buffer", 1 << 20),
    }
    for sides in ([1 << 20] * 3, [1 << 15, 1 << 16], [-5, 3], []):
        changes[f"{graph} {sides}"] = lambda m, sides=sides: [
            setattr(tensor, "shape", sides) for tensor in m.subgraphs[0].tensors
        ]
        changes[f"a result of {sides}"] = lambda m, sides=sides: setattr(
            m.subgraphs[0].tensors[m.subgraphs[0].operators[0].outputs[0]], "shape", sides
        )
    for name, how in changes.items():
        yield "claims", name, change(how)


def prepare(home: Path) -> None:
    """Use each form once before memory and time are limited."""
    from tfclassify.export import reading

    reading.MOST_SECONDS = 4
    for number, form in enumerate(_FILES):
        content = (make_scene() / form / _FILES[form]).read_bytes()
        (home / f"first-{number}").mkdir()
        read(_make_case(form, _FILES[form], "", "", content), home / f"first-{number}")


def read(case: Case, folder: Path) -> str:
    """Open, ask and profile an artefact with another file in it; say what came of it."""
    from tfclassify.export.artefact import load_artefact
    from tfclassify.export.operators import is_counted_here, profile_artefact

    os.chdir(folder)
    (folder / "secret").write_bytes(_SECRET)
    copy = Path(shutil.copytree(make_scene() / case.options["form"], folder / "artefact"))
    place_file(copy / case.options["file"], case)
    _seal(copy, case.options["file"])
    before = sorted(path.as_posix() for path in folder.rglob("*"))
    try:
        bundle = load_artefact(copy)
        images = np.zeros((2, *bundle.image_size, 3), np.float32)
        found = bundle.model.probabilities(images)
        assert found.shape == (2, len(bundle.classes)), "other answers than classes"
        assert np.isfinite(found).all(), "answers that are no numbers"
        if is_counted_here(copy):
            profile_artefact(copy, "artefact")
    finally:
        assert sorted(path.as_posix() for path in folder.rglob("*")) == before, "written"
        shutil.rmtree(copy, ignore_errors=True)
    return "read"


def _seal(folder: Path, changed: str) -> None:
    """Write the checksums anew, where the facts can be read at all."""
    from tfclassify.export.reading import sum_facts
    from tfclassify.files import hash_file

    path = folder / "artefact.json"
    if not path.is_file() or path.is_symlink():
        return
    try:
        facts = json.loads(path.read_bytes())
        part = folder / changed
        if changed in facts["sha256"] and part.is_file() and not part.is_symlink():
            facts["sha256"][changed] = hash_file(part)
        path.write_text(json.dumps({**facts, "checksum": sum_facts(facts)}))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return
