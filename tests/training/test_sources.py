from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.builders import HEAD, WHOLE, make_recipe, make_trainer
from tfclassify.errors import ImageError
from tfclassify.training.sources import count_steps


@pytest.mark.parametrize(
    "phase", [WHOLE, HEAD | {"features": {"views": 1}}], ids=["stream", "features"]
)
def test_an_image_that_breaks_during_training_is_named(
    tmp_path: Path, phase: dict[str, object]
) -> None:
    data = {"source": "photos", "image_size": 16, "cache": "none"}
    trainer = make_trainer(make_recipe([phase], data=data), tmp_path / "photos", tmp_path / "state")
    for file in (tmp_path / "photos" / "red").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ImageError, match=r"red.*\.png"):
        trainer.run()


@pytest.mark.parametrize(("images", "steps"), [(1, 1), (32, 1), (33, 2), (64, 2)])
def test_the_last_batch_may_be_smaller(images: int, steps: int) -> None:
    assert count_steps(images, 32) == steps
