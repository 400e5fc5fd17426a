"""From photos to a model, step by step: cells for an editor or a notebook."""

# %% [markdown]
# A folder a class: `photos/rose/…`, `photos/tulip/…`. Run it cell by cell in an editor or,
# by `jupytext --to notebook docs/example.py`, in a notebook, where data, runs and answers
# show as tables.

# %%
import numpy as np
from PIL import Image

import tfclassify as tfc

data = tfc.inspect("photos/")
print(data.data.classes, data.integrity.quarantined, "bad images")

# %% [markdown]
# Images alone are enough: the recipe is fitted to them and kept in the run. `set` changes
# any key of it, `epochs`, `backbone` and `image_size` are the short way.

# %%
run = tfc.train("photos/", epochs=2)
print(run.path, run.recipe.model.backbone)

# %% [markdown]
# Each score comes with its interval and the number of images that it rests on.

# %%
accuracy = run.metrics["accuracy"]
print(accuracy.value, accuracy.low, accuracy.high, accuracy.n)
print(run.history[["phase", "epoch", "train_loss"]])

# %% [markdown]
# Files, folders, addresses, PIL images and arrays, in any mixture; what cannot be read has
# its row too.

# %%
pixels = np.asarray(Image.open("new.png"))
answers = run.predict(["new.png", pixels, "absent.png"])
for row in answers:
    print(row.file, row.label, row.probability, row.error)
print(answers.to_frame(per_class=True))

# %% [markdown]
# Other labelled images, another training, and which of the two is better.

# %%
print(run.evaluate("more_photos/").metrics["accuracy"].describe())
other = tfc.train(run.recipe, set={"model.head.dropout": 0.5})
comparison = tfc.compare(run, other, cost=False)
print(comparison.report.pairs[0].difference)

# %% [markdown]
# The model is plain Keras with its scaling of pixels inside: images of 0 to 255 in,
# probabilities out. What it costs, layer by layer:

# %%
print(run.keras_model.input_shape, run.keras_model.output_shape)
profile = run.profile(latency=False)
print(profile.profile.macs, [layer.name for layer in profile.layers][:3])

# %% [markdown]
# A run is found again by its folder, or by its name, which means the newest. A recipe can be
# a mapping; whatever is wrong in it is told at once.

# %%
print(tfc.load("reports/photos").report)
try:
    tfc.train({**run.recipe.model_dump(mode="json"), "metric": "acuracy"})
except tfc.TfclassifyError as error:
    print(error)
