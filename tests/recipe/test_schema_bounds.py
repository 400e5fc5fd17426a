from __future__ import annotations

import pytest

from tfclassify.errors import RecipeError
from tfclassify.recipe.loading import parse_recipe


@pytest.mark.parametrize(("key", "most"), [("rotate", 1), ("shift", 1), ("shear", 4), ("zoom", 10)])
def test_degrees_typed_by_mistake_are_refused(key: str, most: int) -> None:
    text = (
        f"{{name: x, data: {{source: x}}, augment: {{{key}: 45}}, model: {{backbone: vgg16}}, "
        "phases: [{name: a, epochs: 1}]}"
    )
    with pytest.raises(RecipeError, match=rf"{key}: must stay within ±{most}, got"):
        parse_recipe(text)
