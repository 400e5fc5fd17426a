"""Make a set of thousands of multi-label photos: two clothing photos side by side.

    python benchmarks/side_by_side.py ../shared/data/clothing.zip data/clothing_pairs.zip

Every photo of a known label stands in two pictures, once left and once right. Senders are
dealt to training, validation and test first, so that nobody's photos stand in two parts. The
archive holds ``labels.csv`` (file, split, labels joined by a bar) and ``images/``;
``recipes/clothing_pairs.yaml`` trains on it.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from sklearn.model_selection import StratifiedGroupKFold

#: Labels that say nothing of what is to be seen.
UNKNOWN = {"Not sure", "Other", "Skip"}
#: One of them is validation, one test, the rest is trained on.
FOLDS = 7

Photo = tuple[str, str, str]  # image, sender, label


def read_photos(archive: zipfile.ZipFile) -> list[Photo]:
    """List the photos of a known label that the archive really holds."""
    held = set(archive.namelist())
    with archive.open("images.csv") as stream:
        rows = list(csv.DictReader(io.TextIOWrapper(stream, "utf-8")))
    return [
        (row["image"], row["sender_id"], row["label"])
        for row in rows
        if row["label"] not in UNKNOWN and f"images/{row['image']}.jpg" in held
    ]


def deal(photos: Sequence[Photo], seed: int) -> dict[str, list[Photo]]:
    """Deal whole senders to the parts, labels as alike as that allows."""
    _, senders, labels = zip(*photos, strict=True)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    held = [chosen for _, chosen in folds.split(photos, labels, senders)]
    parts = {"validation": held[0], "test": held[1], "train": np.concatenate(held[2:])}
    return {part: [photos[place] for place in sorted(chosen)] for part, chosen in parts.items()}


def pair(photos: Sequence[Photo], seed: int) -> Iterator[tuple[Photo, Photo]]:
    """Give each photo a right-hand neighbour; each is once left and once right."""
    order = list(np.random.default_rng(seed).permutation(len(photos)))
    for place, left in enumerate(order):
        yield photos[left], photos[order[(place + 1) % len(order)]]


def draw(archive: zipfile.ZipFile, image: str, size: int) -> Image.Image:
    """Fit one photo into a square, centred on grey."""
    with archive.open(f"images/{image}.jpg") as stream, Image.open(stream) as opened:
        opened.draft("RGB", (size, size))
        photo = ImageOps.exif_transpose(opened).convert("RGB")
    return ImageOps.pad(photo, (size, size), color=(127, 127, 127))


def main() -> None:
    """Write the archive and say what it holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, help="the clothing data set as a zip")
    parser.add_argument("out", type=Path, help="the zip to write")
    parser.add_argument("--size", type=int, default=224, help="pixels of each half")
    parser.add_argument("--limit", type=int, default=None, help="photos to use at most")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    table, count = io.StringIO(), 0
    writer = csv.writer(table)
    writer.writerow(["file", "split", "labels"])
    with zipfile.ZipFile(given.source) as source, zipfile.ZipFile(given.out, "w") as out:
        photos = read_photos(source)[: given.limit]
        for part, dealt in deal(photos, given.seed).items():
            for left, right in pair(dealt, given.seed):
                both = Image.new("RGB", (2 * given.size, given.size))
                for place, photo in enumerate((left, right)):
                    both.paste(draw(source, photo[0], given.size), (place * given.size, 0))
                encoded, name = io.BytesIO(), f"{count:05d}.jpg"
                both.save(encoded, "JPEG", quality=88)
                out.writestr(f"images/{name}", encoded.getvalue())
                writer.writerow([name, part, "|".join(sorted({left[2], right[2]}))])
                count += 1
            print(f"{part}: {len(dealt):,} pictures")
        out.writestr("labels.csv", table.getvalue())


if __name__ == "__main__":
    main()
