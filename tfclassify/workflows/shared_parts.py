"""What the trials of one search share in a process, so that each pays for its own part only.

Owns: the decoded images, the teacher and a backbone that no trial changes, and when they may
be used again. Does not own: a trial (``trial``), features on disk (``training.feature_store``).
"""

from __future__ import annotations

import functools
import gc
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData
from tfclassify.events import SILENT
from tfclassify.recipe.document import render_yaml
from tfclassify.recipe.loading import load_recipe, parse_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.tuning.folder import SearchFolder
from tfclassify.workflows.material import build_network, open_material

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier
    from tfclassify.training.sources import Material


#: Trials of a head after which Python's collector is called.
_COLLECTED = 10


class SharedParts:
    """A search's images and the last backbone that stayed as it was.

    Args:
        folder: The search's.

    Attributes:
        index: Its images.
        recipe: What it searches from.
    """

    def __init__(self, folder: SearchFolder) -> None:
        self._folder = folder
        self.index: Index = PreparedData.load(folder.index_path, folder.integrity_path).index
        self.recipe = load_recipe(folder.recipe_path)
        self._material: tuple[str, Material] | None = None
        self._network: tuple[str, Classifier] | None = None
        self._uses: list[int] = []
        self._heads = 0

    def build_network(self, recipe: Recipe) -> Classifier:
        """Build a trial's network; on the backbone of an earlier trial, where neither trains it.

        A head on a backbone that was built before has the very weights that it has on one
        of its own: each part draws from a seed of its own.
        """
        from tfclassify.model.assembly import list_uses, replace_head

        key = _describe_backbone(recipe)
        if key is None:
            self._network = None  # two large networks may not fit into the memory
            return build_network(recipe, self.index)
        if self._network is None or self._network[0] != key:
            self._network = None
            built = build_network(recipe, self.index)
            self._network, self._uses = (key, built), [len(uses) for uses in list_uses(built)]
            return built

        head, classes = recipe.model.head, len(self.index.classes)
        return replace_head(self._network[1], head, classes, seed=recipe.seed)

    def open_material(self, recipe: Recipe) -> Material:
        """Pair the images with a trial's class weights, and share the features of frozen nets."""
        from tfclassify.training.class_weights import resolve_class_weights
        from tfclassify.training.feature_store import FeatureStore

        key = _describe_images(recipe)
        if self._material is None or self._material[0] != key:
            self._material = None
            neutral = parse_recipe(key, "trial")
            self._material = (key, open_material(neutral, self.index, SILENT))
        shared = self._material[1]
        weights = resolve_class_weights(
            recipe.class_weights, shared.train.targets, self.index.classes, recipe.task
        )
        store = FeatureStore(self._folder.features_dir)
        return replace(shared, class_weights=weights, features=store)

    def forget_trial(self) -> None:
        """Give back what a trial's network held, before the next one is built.

        A head is small, and left to Python's own collector for some trials: looking through
        all objects of TensorFlow takes longer than many a head's epochs.
        """
        import keras

        from tfclassify.model.assembly import list_uses

        keras.backend.clear_session(free_memory=False)
        if self._network is not None:
            for uses, own in zip(list_uses(self._network[1]), self._uses, strict=True):
                while len(uses) > own:
                    uses.pop()
        self._heads += 1
        if self._network is None or self._heads % _COLLECTED == 0:
            gc.collect()


@functools.lru_cache(maxsize=1)
def open_shared(search: str) -> SharedParts:
    """Open the parts of a search, once a process."""
    return SharedParts(SearchFolder.open(Path(search)))


def close_shared() -> None:
    """Give the parts back, where trials ran in this process."""
    open_shared.cache_clear()


def _describe_backbone(recipe: Recipe) -> str | None:
    """Write what decides a backbone and all its weights; None where a phase changes them."""
    is_kept = all(
        phase.train == "head" and not phase.prune and not phase.quantise for phase in recipe.phases
    )
    if not is_kept or recipe.model.start_from:
        return None
    model = recipe.model.model_dump(mode="json", exclude={"head"})
    pool = recipe.model.head.pool if recipe.model.stack else None
    size, precision = recipe.data.image_size, recipe.runtime.precision
    return json.dumps([model, pool, size, precision, recipe.seed], sort_keys=True)


def _describe_images(recipe: Recipe) -> str:
    """Write a recipe of all that decides the images and the teacher."""
    neutral = recipe.model_dump(mode="json", include={"name", "task", "data", "seed"})
    if recipe.distil is not None:
        neutral["distil"] = {"teacher": recipe.distil.teacher}
    network = {"model": {"backbone": "efficientnet_lite0"}}
    return render_yaml(neutral | network | {"phases": [{"name": "a", "epochs": 1}]})
