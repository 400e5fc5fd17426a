from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from tests.builders import make_photo
from tests.data.builders import encode, make_png, make_scene
from tfclassify.data import images
from tfclassify.data.images import (
    decode_image,
    decode_with_facts,
    open_image,
    read_image_file,
    shrink_image,
)
from tfclassify.errors import ImageError

LOSSLESS = {"PNG": {}, "BMP": {}, "WEBP": {"lossless": True}}
PHOTO = make_photo(1, (20, 30))


def kind_of(data: bytes | Path, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        open_image(data, **options)
    return caught.value.kind


@pytest.mark.parametrize("form", LOSSLESS)
def test_lossless_formats_come_back_exactly(form: str) -> None:
    facts, image = open_image(encode(PHOTO, form, **LOSSLESS[form]))
    assert np.array_equal(np.asarray(image), np.asarray(PHOTO))
    assert (facts.width, facts.height, facts.remarks) == (30, 20, ())
    assert facts.format == {"WEBP": "WebP"}.get(form, form)


def test_jpeg_is_what_pillow_reads() -> None:
    data = encode(PHOTO, "JPEG", quality=90)
    with Image.open(BytesIO(data)) as opened:
        expected = np.asarray(opened.convert("RGB"))
    assert np.array_equal(np.asarray(open_image(data)[1]), expected)


def test_gif_shows_its_palette() -> None:
    image = Image.new("RGB", (4, 2), (255, 0, 0))
    image.paste((0, 0, 255), (2, 0, 4, 2))
    facts, opened = open_image(encode(image, "GIF"))
    assert np.array_equal(np.asarray(opened), np.asarray(image))
    assert "palette" in facts.remarks


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_shown(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encode(frames[0], form, save_all=True, append_images=frames[1:], **options)
    facts, image = open_image(data)
    assert image.getpixel((4, 4)) == (255, 0, 0)
    assert "animated" in facts.remarks


def test_another_extension_is_remarked_on_and_decoded(tmp_path: Path) -> None:
    path = tmp_path / "photo.JPG"
    path.write_bytes(encode(PHOTO))
    facts, image = open_image(path)
    assert facts.remarks == ("wrong_extension",)
    assert image.size == PHOTO.size


@pytest.mark.parametrize("name", ["photo.png", "photo", "photo.backup"])
def test_no_remark_where_no_other_format_is_announced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encode(PHOTO))
    assert open_image(tmp_path / name)[0].remarks == ()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_a_truncated_file_is_found_out(form: str, share: float) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    data = encode(make_photo(3, (64, 64)), form)
    cut = data[: int(len(data) * share)]
    assert kind_of(cut) == "truncated"
    with pytest.raises(ImageError, match=r"is truncated, got .* bytes and no end; fetch"):
        decode_image(cut, (4, 4))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_a_file_of_a_header_alone_is_refused(form: str) -> None:
    assert kind_of(encode(PHOTO, form)[:14]) in {"truncated", "unreadable"}


def test_damage_inside_is_told() -> None:
    data = bytearray(encode(PHOTO))
    start = data.index(b"IDAT") + 4
    data[start : start + 20] = bytes(20)
    with pytest.raises(ImageError, match=r"^image: the PNG is damaged \(.+\); fetch"):
        open_image(bytes(data))
    assert kind_of(bytes(data)) == "unreadable"


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ImageError, match=r"a\.jpg: the file is empty, got 0 bytes"):
        open_image(tmp_path / "a.jpg")
    assert kind_of(b"") == "empty"


def test_too_many_pixels_are_refused_before_decoding() -> None:
    # 50 000 x 50 000 would take 7.5 GB; the header is enough.
    gif = encode(Image.new("L", (4, 4)), "GIF")
    huge = gif[:6] + (50_000).to_bytes(2, "little") * 2 + gif[10:]
    with pytest.raises(ImageError, match=r"2,500,000,000 pixels \(50000x50000\), allowed are 100,"):
        open_image(huge)
    assert kind_of(encode(PHOTO), max_pixels=599) == "too_large"
    assert open_image(encode(PHOTO), max_pixels=600)[0].width == 30


def test_a_cap_above_pillows_own_holds() -> None:
    # Pillow's own limit warns from 89,478,486 pixels on.
    data = make_png(9_600, 9_600, 1, 0, bytes(1_200 * 9_600))
    assert decode_image(data, (4, 4), max_pixels=100_000_000).max() == 0


def test_a_file_too_long_for_its_cap_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as stream:
        stream.truncate((64 << 20) + 8 * 64 + 1)  # a hole, that takes no space
    with pytest.raises(ImageError, match=r"a\.png: the file has 67,109,377 bytes, allowed are"):
        read_image_file(path, max_pixels=64)


def test_absent_files_and_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="there is no such file"):
        open_image(tmp_path / "a.png")
    assert kind_of(tmp_path / "a.png") == "missing"
    with pytest.raises(ImageError, match="the file cannot be read"):
        open_image(tmp_path)


def test_lack_of_memory_is_no_fact_about_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    data = encode(PHOTO)
    monkeypatch.setattr(images, "to_rgb", fail)
    with pytest.raises(MemoryError):
        open_image(data)


def test_stretch_is_pillows_resize() -> None:
    expected = PHOTO.resize((8, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(decode_image(encode(PHOTO), (16, 8)), np.asarray(expected))


def test_the_same_size_changes_nothing() -> None:
    for resize in ("stretch", "crop", "letterbox"):
        assert np.array_equal(decode_image(encode(PHOTO), (20, 30), resize), np.asarray(PHOTO))


def test_crop_without_scaling_cuts_the_centre_out() -> None:
    expected = PHOTO.crop((5, 0, 25, 20))
    assert np.array_equal(decode_image(encode(PHOTO), (20, 20), "crop"), np.asarray(expected))


@pytest.mark.parametrize("is_tall", [False, True])
def test_crop_keeps_the_centre(is_tall: bool) -> None:
    scene = make_scene(4, (40, 60))
    box = (10, 0, 50, 40)
    if is_tall:
        scene, box = scene.transpose(Image.Transpose.ROTATE_90), (0, 10, 40, 50)
    expected = scene.crop(box).resize((10, 10), Image.Resampling.BILINEAR)
    pixels = decode_image(encode(scene), (10, 10), "crop").astype(int)
    difference = np.abs(pixels - np.asarray(expected))
    assert difference[1:-1, 1:-1].max() <= 1
    assert difference.max() <= 12  # at the border the filter sees what lies beyond the cut


def test_letterbox_adds_black_bars() -> None:
    white = Image.new("RGB", (30, 20), "white")
    wide = decode_image(encode(white), (30, 30), "letterbox")
    assert wide[5:25].min() == 255
    assert wide[:5].max() == wide[25:].max() == 0
    tall = decode_image(encode(white), (10, 30), "letterbox")
    # 20 rows become 10, so 30 columns become 15, after 7 black ones.
    assert tall[:, 7:22].min() == 255
    assert tall[:, :7].max() == tall[:, 22:].max() == 0


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["stretch", "crop", "letterbox"]),
    st.sampled_from(["JPEG", "PNG"]),
)
def test_any_shape_comes_out_as_asked(
    size: tuple[int, int], wanted: tuple[int, int], resize: str, form: str
) -> None:
    data = encode(
        Image.new("RGB", size[::-1], (200, 100, 50)),
        form,
        **({"quality": 95} if form == "JPEG" else {}),
    )
    pixels = decode_image(data, wanted, resize)
    assert pixels.shape == (*wanted, 3)
    assert pixels.dtype == np.uint8
    centre = pixels[(wanted[0] - 1) // 2, (wanted[1] - 1) // 2].astype(int)
    assert np.abs(centre - [200, 100, 50]).max() <= 6


@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("size", [(901, 1203), (1203, 901), (640, 3000)])
def test_a_large_jpeg_is_read_small_and_looks_the_same(resize: str, size: tuple[int, int]) -> None:
    scene = make_scene(5, size)
    jpeg = encode(scene, "JPEG", quality=95)
    with Image.open(BytesIO(jpeg)) as opened:
        whole = encode(opened.convert("RGB"), "BMP")
    small = decode_image(jpeg, (96, 80), resize).astype(int)
    expected = decode_image(whole, (96, 80), resize).astype(int)
    assert np.abs(small - expected).mean() < 1.0
    assert np.abs(small - expected).max() <= 12
    assert np.array_equal(decode_image(jpeg, (96, 80), resize), small)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(60, 700), st.integers(60, 700)),
    st.tuples(st.integers(1, 48), st.integers(1, 48)),
    st.sampled_from(["stretch", "crop", "letterbox"]),
    st.integers(1, 8),
)
def test_any_large_jpeg_comes_out_as_asked(
    size: tuple[int, int], wanted: tuple[int, int], resize: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.new("RGB", size[::-1], (90, 90, 90)), "JPEG", exif=exif)
    facts, pixels = decode_with_facts(data, wanted, resize)
    assert pixels.shape == (*wanted, 3)
    assert np.isin(pixels, [0, 89, 90, 91]).all()
    assert (facts.height, facts.width) == (size if orientation < 5 else size[::-1])


def test_progressive_and_multi_picture_jpegs_are_jpegs() -> None:
    scene = make_scene(6, (300, 400))
    plain = decode_image(encode(scene, "JPEG", quality=90), (40, 50))
    progressive = encode(scene, "JPEG", quality=90, progressive=True)
    assert np.abs(decode_image(progressive, (40, 50)).astype(int) - plain).max() <= 2
    facts, _ = open_image(encode(scene, "MPO", save_all=True, append_images=[make_scene(7)]))
    assert (facts.format, facts.remarks) == ("JPEG", ())


def test_threads_agree(tmp_path: Path) -> None:
    paths = []
    for seed in range(12):
        paths.append(tmp_path / f"{seed}.jpg")
        make_scene(seed, (200, 300)).save(paths[-1])
    alone = [decode_image(path, (32, 32)) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        for expected, found in zip(
            alone * 4, pool.map(lambda path: decode_image(path, (32, 32)), paths * 4), strict=True
        ):
            assert np.array_equal(expected, found)


def test_path_text_and_bytes_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PHOTO.save(path)
    sources = (path, str(path), path.read_bytes())
    assert len({decode_image(source, (7, 9)).tobytes() for source in sources}) == 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: a pipe or a device, expected a file; remove"):
        open_image(tmp_path / "a.png")


def test_a_name_that_no_file_can_have_is_told() -> None:
    with pytest.raises(ImageError, match=r"the file cannot be read .*null"):
        open_image(Path("a\0b.png"))


def test_what_would_take_too_much_memory_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(make_photo(1, (20, 30)), "PNG")
    monkeypatch.setattr(images, "total_memory", lambda: 10_000)
    open_image(data)  # takes 2,400 bytes, 2,500 are allowed
    monkeypatch.setattr(images, "total_memory", lambda: 9_000)
    with pytest.raises(ImageError, match=r"pixels takes about 2.4 kB, allowed is 25%") as told:
        open_image(data)
    assert told.value.kind == "too_large"


@pytest.mark.parametrize("is_large", [False, True])
def test_large_images_are_decoded_one_at_a_time(
    is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LARGE_BYTES", 2399 if is_large else 2400)
    held = []

    def watch(image: Image.Image) -> Image.Image:
        held.append(images._LARGE_ONES.locked())
        return image

    monkeypatch.setattr(images, "to_rgb", watch)
    open_image(encode(make_photo(1, (20, 30)), "PNG"))
    assert held == [is_large]
    assert not images._LARGE_ONES.locked()


def test_people_see_the_whole_image_upright_and_never_enlarged(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "large.jpg"
    make_photo(1, (400, 801)).save(path, quality=95, exif=exif)
    facts, image = shrink_image(path, 200)
    assert (facts.width, facts.height) == (400, 801)
    assert image.size == (100, 200)
    wanted = open_image(path)[1].resize((100, 200), Image.Resampling.BOX)
    assert np.abs(np.float32(image) - np.float32(wanted)).mean() < 3
    assert shrink_image(path, 5000)[1].size == (400, 801)
