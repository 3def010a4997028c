"""The panel Datasets: folders of pictures with captions, one entry each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainer.panels.field import Panel, SidePx, setting

MAX_CONTROL_DATASETS = 10

FolderName = Annotated[str, Field(min_length=1, max_length=255)]


class Dataset(Panel):
    """One folder of pictures with captions."""

    target_dataset: str = setting(
        label="Target Dataset",
        help="Name of a folder in the datasets folder. Each picture trains with the text file of "
        "the same name beside it: cat.png with cat.txt.",
        widget="dataset",
        min_length=1,
        max_length=255,
        guides="15-30 pictures for a style, 20-60 for a character or an object, 50-200 triples "
        "for edits.",
        plain=True,
    )
    control_datasets: list[FolderName] = setting(
        list,
        label="Control Datasets",
        help="Folders of reference pictures, for LoRAs that edit: the model is shown them and "
        "learns to make the target from them. Reference n of cat.png is the picture cat.* in the "
        "nth folder. Each is scaled down to at most 1024 x 1024 px of area and cut to sides in "
        "multiples of 16, as at inference; their tokens follow the target's at time t = 10 n.",
        max_length=MAX_CONTROL_DATASETS,
        plain=True,
    )
    mask_dataset: str = setting(
        "",
        label="Mask Dataset",
        help="Folder of masks: cat.* there belongs to cat.png here; white trains, black does not. "
        "With m = mean brightness of a token's 16 x 16 px in 0..1 and e = its error, a picture's "
        "loss is sum(m e) / sum(m). Preservation looks at the whole picture.",
        placeholder="blank = every part of a picture trains",
        widget="dataset",
        max_length=255,
    )
    default_caption: str = setting(
        "",
        label="Default Caption",
        help="Caption of pictures without a text file. [trigger] is replaced: with Trigger Word "
        "zorvex, 'a photo of [trigger]' trains as 'a photo of zorvex'.",
        no_effect="Every picture has a caption of its own.",
        max_length=10_000,
        plain=True,
    )
    caption_extension: str = setting(
        "txt",
        label="Caption Extension",
        help="A caption for cat.png is cat.txt.",
        pattern=r"^[A-Za-z0-9_]{1,16}$",
    )
    batch_size: int | None = setting(
        None,
        label="Batch Size",
        help="Pictures of this dataset in one forward pass: with 2, two of the same size are shown "
        "at once. With another number than other datasets, its pictures never share a pass with "
        "theirs.",
        unit="pictures",
        placeholder="blank = the Batch Size of the Training panel",
        ge=1,
        le=64,
    )
    bad_files: Literal["refuse", "leave_out"] = setting(
        "refuse",
        label="Bad Files",
        help="What becomes of files that cannot be used (damaged or tiny pictures, unreadable or "
        "too long captions, pictures whose mask or reference is missing): refuse the job and name "
        "them, or train without their pictures and name them in a warning.",
        no_effect="Every file can be used.",
        choices={"refuse": "Refuse the job", "leave_out": "Leave them out"},
    )
    caption_dropout_rate: float = setting(
        0.05,
        label="Caption Dropout Rate",
        help="Share of the times that a picture trains with the empty prompt: at 0.05 one in "
        "twenty, drawn anew at each of its turns.",
        ge=0,
        le=1,
        guides="0.05.",
    )
    lora_weight: float = setting(
        1.0,
        label="LoRA Weight",
        help="How much of the LoRA acts while these pictures train: a layer computes "
        "W x + LoRA Weight * (alpha / rank) * B A x. At 0.5 the LoRA learns to change the picture "
        "fully at half its strength, so at full strength it overdoes what they teach; at 2 it "
        "holds back.",
        gt=0,
        le=10,
    )
    num_repeats: int = setting(
        1,
        label="Num Repeats",
        help="Times that each picture trains in one pass over all datasets: 10 pictures with 3 "
        "repeats weigh as much as 30 with 1. With one dataset only the order changes.",
        unit="times",
        ge=1,
        le=1000,
    )
    cache_latents: bool = setting(
        True,
        label="Cache Latents",
        help="Keep encoded pictures on disk for the next run. Off encodes them for this run and "
        "deletes them at its end.",
    )
    is_regularization: bool = setting(
        False,
        label="Is Regularization",
        help="These pictures hold the model where it is: their target is not the picture but the "
        "base model's own prediction v0 from it, loss(v, v0), with the same caption. The trigger "
        "in their captions becomes the Preservation Class: '[trigger], a dog' trains as 'photo, "
        "a dog'.",
    )
    flip_x: bool = setting(
        False,
        label="Flip X",
        help="Mirror left and right at half of a picture's turns, drawn by (seed, step, picture); "
        "its mask and references are mirrored with it. Questionable for faces, wrong for text.",
        guides="Off for faces and for anything with writing.",
    )
    flip_y: bool = setting(
        False,
        label="Flip Y",
        help="As Flip X, top and bottom. With both on, each of the four ways to lie comes up a "
        "quarter of the time.",
    )
    resolutions: list[SidePx] = setting(
        lambda: [768, 896, 1024],
        label="Resolutions",
        help="Sides of the square whose area a picture is scaled down to, keeping its shape. Each "
        "picture trains once, in the largest it fills: with 768 and 1024, one of 1536 x 1024 px "
        "trains at 1248 x 832. One smaller than all keeps its size.",
        unit="px, multiples of 16",
        widget="resolutions",
        min_length=1,
        max_length=16,
        guides="768 and 896 on 16-24 GB, up to 1024 on 32-48 GB, 1024 and 1152-1408 from 64 GB "
        "on. A LoRA trained at 768 serves larger pictures too.",
        plain=True,
    )
    allow_upscaling: bool = setting(
        False,
        label="Allow Upscaling",
        help="Scale pictures smaller than every resolution up to the smallest: with 768, one of "
        "512 x 512 trains at 768 x 768. The LoRA may learn their blur.",
        no_effect="Every picture fills a resolution.",
    )
