"""The demo without Python behind it: its folder, and what a browser makes of photos."""

from __future__ import annotations

import base64
import functools
import io
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny_run import TinyRun
from tests.web.models import give
from tfclassify.data.images import decode_image
from tfclassify.errors import RequestError
from tfclassify.web import demo
from tfclassify.web.demo import write_static_demo
from tfclassify.web.exhibits import Exhibit


@pytest.fixture(scope="module")
def photos(tiny_run: TinyRun) -> list[Path]:
    return sorted(tiny_run.photos.rglob("*.png"))


@pytest.fixture
def show_folder() -> Iterator[Callable[[Path], str]]:
    """Serve folders as any web server does; returns the address of each."""
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        class Quiet(SimpleHTTPRequestHandler):
            def guess_type(self, path: Any) -> str:
                return "text/javascript" if str(path).endswith("js") else super().guess_type(path)

            def log_message(self, *words: object) -> None:
                pass

        handler = functools.partial(Quiet, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/index.html"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def static(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("static") / "page"
    return write_static_demo([tiny_run.run], ["tiny"], target)


def test_a_static_page_tells_nothing_of_this_machine(static: Path, tiny_run: TinyRun) -> None:
    files = [path for path in static.rglob("*") if path.is_file()]
    assert {"index.html", "models.json", "demo_answers.js", "0.onnx"} <= {f.name for f in files}
    assert not [path for path in files if str(tiny_run.home).encode() in path.read_bytes()]
    assert not list(static.rglob("*.png"))
    assert "sdk: static" in (static / "README.md").read_text("utf-8")


def test_a_static_page_without_its_runtime_says_so(
    static: Path, show_folder: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(show_folder(static))
    page.expected_errors += ["404", "Failed to fetch dynamically"]
    page.wait_for_selector("#trouble:not([hidden])")
    assert "README.md of this folder says where to get it" in page.inner_text("#trouble")


def read_in_browser(page: Any, content: bytes, size: tuple[int, int], resize: str) -> np.ndarray:
    """Return the pixels that the page shows a model, as base64 since lists are slow."""
    found = page.evaluate(
        """async ([text, size, resize]) => {
          const { readPhoto } = await import("./resizing.js");
          const photo = new Blob([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))]);
          const { pixels } = await readPhoto(photo, { size, resize, max_pixels: 1e8 });
          return btoa(Array.from(pixels, (value) => String.fromCharCode(value)).join(""));
        }""",
        [base64.b64encode(content).decode("ascii"), list(size), resize],
    )
    return np.frombuffer(base64.b64decode(found), np.uint8).reshape(*size, 3)


def draw_scene(width: int, height: int) -> Image.Image:
    """Draw a picture with slopes, edges and noise, so that every coefficient is used."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([x * 255 // width, y * 255 // height, (x // 9 + y // 7) % 2 * 200], axis=2)
    noise = draw.normal(0, 12, (height // 4 + 1, width // 4 + 1, 3))
    grain = noise.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
    return Image.fromarray((slopes + grain).clip(0, 255).astype(np.uint8))


def write_jpeg(picture: Image.Image, orientation: int = 1, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    picture.save(stream, "jpeg", exif=exif.tobytes(), **options)
    return stream.getvalue()


#: Every way in which cameras and programs store colours, codes and turns.
JPEGS: dict[str, dict[str, Any]] = {
    "420": {"subsampling": "4:2:0"},
    "422": {"subsampling": "4:2:2"},
    "444": {"subsampling": "4:4:4"},
    "411": {"subsampling": "4:1:1"},
    "progressive-420": {"subsampling": "4:2:0", "progressive": True, "quality": 92},
    "progressive-444": {"subsampling": "4:4:4", "progressive": True, "quality": 40},
    "restarts": {"restart_marker_blocks": 7, "optimize": True},
    "rgb": {"keep_rgb": True},
    **{f"turned-{turn}": {"orientation": turn} for turn in range(2, 9)},
}


@pytest.mark.parametrize("size", [(576, 768), (203, 149)], ids=["large", "small"])
def test_the_browser_decodes_a_jpeg_as_python_does(
    static: Path, show_folder: Callable[[Path], str], open_page: Callable[..., Any], size: Any
) -> None:
    """Python decodes the large ones at a half or a quarter of their size, the small ones whole."""
    page = open_page(show_folder(static))
    page.expected_errors += ["404", "Failed to fetch dynamically"]
    scene = draw_scene(*size)
    files = {name: write_jpeg(scene, **options) for name, options in JPEGS.items()}
    files["grey"] = write_jpeg(scene.convert("L"))
    for number, (name, content) in enumerate(files.items()):
        resize = ("stretch", "crop", "letterbox")[number % 3]
        wanted = ((96, 64), (224, 224), (40, 90))[number % 2]
        expected = decode_image(content, wanted, resize)  # type: ignore[arg-type]
        found = read_in_browser(page, content, wanted, resize)
        assert np.array_equal(found, expected), (name, resize, wanted)


def test_jpegs_that_are_not_whole_or_of_another_kind(
    static: Path, show_folder: Callable[[Path], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(show_folder(static))
    page.expected_errors += ["404", "Failed to fetch dynamically"]
    content = write_jpeg(draw_scene(320, 240))
    with pytest.raises(Exception, match="is truncated"):
        read_in_browser(page, content[:2000], (24, 16), "stretch")
    # Four inks are left to the browser, whose colours are its own.
    inks = read_in_browser(
        page, write_jpeg(draw_scene(32, 24).convert("CMYK")), (24, 32), "stretch"
    )
    assert inks.std() > 10


def test_the_browser_resizes_as_pillow_does(
    static: Path,
    show_folder: Callable[[Path], str],
    open_page: Callable[..., Any],
    tmp_path: Path,
) -> None:
    page = open_page(show_folder(static))
    page.expected_errors += ["404", "Failed to fetch dynamically"]
    draw = np.random.default_rng(0)
    for resize in ("stretch", "crop", "letterbox"):
        for shape in ((37, 53), (90, 20), (8, 8)):
            file = tmp_path / "noise.png"
            Image.fromarray(draw.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(file)
            expected = decode_image(file, (24, 16), resize)
            found = read_in_browser(page, file.read_bytes(), (24, 16), resize)
            assert np.array_equal(found, expected), (resize, shape)


def test_a_wrong_runtime_is_refused(tiny_run: TinyRun, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no such file; `npm pack onnxruntime-web@"):
        write_static_demo([tiny_run.run], ["x"], tmp_path / "a", runtime=tmp_path / "none.tgz")
    (tmp_path / "other.tgz").write_bytes(b"x")
    with pytest.raises(RequestError, match=r"is not onnxruntime-web .* whose integrity is sha512-"):
        write_static_demo([tiny_run.run], ["x"], tmp_path / "a", runtime=tmp_path / "other.tgz")
    assert not (tmp_path / "a").exists()


def test_a_folder_with_other_things_is_not_replaced(tiny_run: TinyRun, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years", "utf-8")
    with pytest.raises(RequestError, match="holds something else; choose a new folder"):
        write_static_demo([tiny_run.run], ["x"], tmp_path)


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of onnxruntime-web, from npm where its registry can be reached."""
    import shutil
    import subprocess

    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, so onnxruntime-web cannot be fetched")
    folder = tmp_path_factory.mktemp("npm")
    wanted = f"{demo.RUNTIME}@{demo.RUNTIME_VERSION}"
    done = subprocess.run(
        [npm, "pack", "--silent", wanted], cwd=folder, capture_output=True, timeout=300, check=False
    )
    found = list(folder.glob("*.tgz"))
    if done.returncode or not found:
        pytest.skip("npm's registry cannot be reached, so onnxruntime-web cannot be fetched")
    return found[0]


@pytest.mark.slow
def test_a_static_page_answers_as_python_does(
    tiny_run: TinyRun,
    tiny_sets: TinyRun,
    tmp_path: Path,
    runtime: Path,
    photos: list[Path],
    show_folder: Callable[[Path], str],
    open_page: Callable[..., Any],
) -> None:
    runs = [tiny_run.run, tiny_sets.run]
    folder = write_static_demo(runs, ["tiny", "sets"], tmp_path / "page", runtime=runtime)
    page = open_page(show_folder(folder))
    page.wait_for_selector("body[data-ready]")
    exhibits = [Exhibit(run, "x") for run in runs]
    large = []
    for name, options in (("baseline", {}), ("progressive", {"progressive": True})):
        for colours in ("4:2:0", "4:4:4"):
            for size in ((576, 768), (4000, 3000)):
                file = tmp_path / f"{name}-{size[0]}-{colours[2]}.jpg"
                turn = 6 if colours == "4:4:4" else 1
                file.write_bytes(
                    write_jpeg(draw_scene(*size), turn, subsampling=colours, **options)
                )
                large.append(file)
    for photo in [*photos[:5], *large]:
        give(page, photo)
        for number, exhibit in enumerate(exhibits):
            expected = exhibit.answer(photo.read_bytes())
            found = page.evaluate(
                """async ([number, text]) => {
                  const { answer } = await import("./demo_answers.js");
                  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
                  return answer(number, new Blob([bytes]));
                }""",
                [number, base64.b64encode(photo.read_bytes()).decode("ascii")],
            )
            assert np.allclose(found["probabilities"], expected["probabilities"], atol=1e-3)
            assert found["labels"] == expected["labels"]
            if expected["trust"] is not None:
                assert found["trust"]["images"] == expected["trust"]["images"]
    page.locator(".bars button").first.focus()
    page.wait_for_selector("#map:not([hidden])")
