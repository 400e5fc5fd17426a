"""One small training on images that may have several labels, for many tests to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

#: A label: the corner of the photo, (row, column), and what is painted there.
TAGS = {
    "sky": ((0, 0), (60, 110, 230)),
    "sun": ((0, 1), (240, 210, 60)),
    "grass": ((1, 0), (50, 180, 60)),
}
#: Every sixth image lacks one of its labels in the table, so that no model is perfect.
FORGOTTEN_EVERY = 6
IMAGES = 80

RECIPE = """\
name: sets
seed: 3
task: multi_label
data:
  source: photos
  table: tags.csv
  columns: {file: file, label: tags, group: walk}
  label_separator: "|"
  image_size: 16
  validation: 0.3
  test: 0.2
model:
  backbone: custom_cnn
  weights: none
  layers:
    - {conv: 8, stride: 2, batch_norm: true}
  head: {pool: flatten}
batch_size: 8
phases:
  - {name: all, train: all, epochs: 3, learning_rate: 1.0e-2, keep_best: map}
thresholds: per_class
tta: {flips: [vertical]}
"""


def make_tagged_photos(folder: Path) -> Path:
    """Write photos with painted corners and ``tags.csv``; some have no label at all."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = ["file,tags,walk"]
    for number in range(IMAGES):
        pixels = generator.normal(128, 25, (20, 20, 3))
        there = [name for name in TAGS if generator.random() < 0.45]
        for name in there:
            (row, column), colour = TAGS[name]
            area = pixels[row * 10 : row * 10 + 10, column * 10 : column * 10 + 10]
            area[...] = np.array(colour) + generator.normal(0, 25, area.shape)
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")
        image.save(folder / f"{number:02}.png")
        listed = there[1:] if number % FORGOTTEN_EVERY == 0 else there
        rows.append(f"{number:02}.png,{'|'.join(listed)},walk {number // 2}")
    (folder / "tags.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def write_recipe(folder: Path) -> Path:
    """Write the recipe of the tagged photos."""
    path = folder / "sets.yaml"
    path.write_text(RECIPE, "utf-8")
    return path
