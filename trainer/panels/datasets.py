"""The panel Datasets: folders of pictures with captions, one entry each."""

from __future__ import annotations

from trainer.panels.field import Panel, SidePx, setting


class Dataset(Panel):
    """One folder of pictures with captions."""

    target_dataset: str = setting(
        label="Target Dataset",
        help="Name of a folder in the datasets folder. Each picture trains with the text file of "
        "the same name beside it.",
        widget="dataset",
        min_length=1,
        max_length=255,
    )
    default_caption: str = setting(
        "",
        label="Default Caption",
        help="Caption of pictures without a text file. [trigger] is replaced.",
        no_effect="Every picture has a caption of its own.",
        max_length=10_000,
    )
    caption_extension: str = setting(
        "txt",
        label="Caption Extension",
        help="A caption for cat.png is cat.txt.",
        pattern=r"^[A-Za-z0-9_]{1,16}$",
    )
    caption_dropout_rate: float = setting(
        0.05,
        label="Caption Dropout Rate",
        help="Share of the times that a picture trains with the empty prompt.",
        ge=0,
        le=1,
    )
    cache_latents: bool = setting(
        True,
        label="Cache Latents",
        help="Keep encoded pictures on disk for the next run. Off encodes them for this run and "
        "deletes them at its end.",
    )
    resolutions: list[SidePx] = setting(
        lambda: [768, 896, 1024],
        label="Resolutions",
        help="Sides of the square whose area a picture is scaled down to, keeping its shape. Each "
        "picture trains once, in the largest it fills; one smaller than all keeps its size.",
        unit="px, multiples of 16",
        widget="resolutions",
        min_length=1,
        max_length=16,
    )
