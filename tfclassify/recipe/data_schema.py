"""The section ``data`` of a recipe: what the images are and where they lie.

Owns: its keys, types, defaults and meanings. Does not own: checks across keys
(``data_checks``), reading (``data``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tfclassify.recipe.fields import ImageSize, Rate, Section, Share


class ColumnsRecipe(Section):
    """Names of the columns of a CSV source."""

    file: str = Field("file", description="Column of image paths.")
    label: str | None = Field("label", description="Column of class names; null if unlabelled.")
    group: str | None = Field(
        None, description="Column whose rows stay on one side of a split (person, site, series)."
    )
    split: str | None = Field(
        None, description="Column that says train, validation or test for each image."
    )
    weight: str | None = Field(None, description="Column of per-image weights, positive.")
    flags: str | None = Field(
        None, description="Column of whole numbers whose bits are the marks of data.flags."
    )
    one_hot: Literal["rest"] | tuple[str, ...] | None = Field(
        None,
        description="Columns that hold 1 where an image has the class of that name, else 0; "
        "rest: every column that is not named here. In place of label.",
    )


class CocoRecipe(Section):
    """COCO instance annotations: boxes in JSON, read as labels of whole images."""

    annotations: dict[Literal["train", "validation", "test"], str] = Field(
        description="Split: its JSON inside the source, such as "
        "annotations/instances_train2017.json."
    )
    images: dict[Literal["train", "validation", "test"], str] = Field(
        description="Split: the folder inside the source that its file names start at."
    )
    min_area: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Smaller boxes, in square pixels, give no label."
    )
    crowds: bool = Field(True, description="Whether boxes marked iscrowd give labels.")


class DataRecipe(Section):
    """Where the images are, how they are read and how they are split."""

    source: str = Field(
        description="Folder, zip or tar, CSV, https URL (with sha256), or builtin:digits. "
        "Relative paths start at the working folder, then at the recipe's folder."
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Checksum of an archive or download; required for a URL."
    )
    download_from: str | None = Field(
        None, description="What to tell the user when the source is absent: where to get it."
    )
    table: str | None = Field(
        None, description="CSV inside the source folder or archive, such as images.csv."
    )
    images: str | None = Field(
        None, description="Folder that the table's file column is relative to."
    )
    coco: CocoRecipe | None = Field(
        None,
        description="COCO annotations; read instead of the table where the source holds them.",
    )
    columns: ColumnsRecipe = Field(ColumnsRecipe(), description="Column names of the table.")
    separator: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        ",", description="Field separator of the table."
    )
    label_separator: Annotated[str, Field(min_length=1, max_length=3)] | None = Field(
        None, description="What stands between several labels in the label column."
    )
    flags: dict[str, Annotated[int, Field(ge=1, lt=2**31)]] = Field(
        {}, description="Mark: its bit in the flags column, such as {blurred: 2, dark: 4}."
    )
    drop_flags: tuple[str, ...] = Field((), description="Images with such a mark are left out.")
    keep_flags: tuple[str, ...] = Field(
        (), description="Images without any of these marks are left out, where some are named."
    )
    flag_weights: dict[str, Rate] = Field(
        {}, description="Mark: weight of its images, times that of the weight column."
    )
    extension: str | None = Field(
        None, description="Extension that the table leaves out, such as .jpg."
    )
    classes: tuple[str, ...] | None = Field(
        None, description="Class names in their order; any other label is an error."
    )
    drop_labels: tuple[str, ...] = Field(
        (),
        description="Labels whose images are left out; in multi_label they are taken off the "
        "images, which stay.",
    )
    merge_classes: dict[str, tuple[str, ...]] = Field(
        {}, description="New class name: the labels that it takes in."
    )
    top_classes: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Keep only the n most frequent classes; in multi_label the images of the "
        "others stay.",
    )
    image_size: ImageSize = Field((224, 224), description="[height, width] or one number.")
    resize: Literal["stretch", "crop", "letterbox"] = Field(
        "stretch", description="How an image of another shape is brought to image_size."
    )
    validation: Share = Field(
        0.2, description="Share held out for validation; 0 trains on the whole data set."
    )
    test: Share = Field(0.0, description="Share held out for a final test.")
    min_images: Annotated[int, Field(ge=1)] = Field(
        5, description="Classes with fewer images are reported."
    )
    max_pixels: Annotated[int, Field(ge=64)] = Field(
        100_000_000, description="Images of more pixels are quarantined unread."
    )
    strict: bool = Field(False, description="Bad images are an error instead of quarantined.")
    cache: Literal["auto", "memory", "disk", "none"] = Field(
        "auto", description="Where decoded images are kept; auto: memory if they fit."
    )

    @property
    def holds_label_sets(self) -> bool:
        """Whether the source says several labels an image, as task multi_label needs."""
        return bool(self.columns.one_hot or self.label_separator or self.coco)
