"""Rules of the Datasets panel, and of how its captions are encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainer.config import JobConfig
from trainer.errors import Problem, Severity


def _unload_te_has_a_trigger_and_no_cache(job: JobConfig) -> Iterator[Problem]:
    if not job.training.unload_te:
        return
    if job.training.cache_text_embeddings:
        yield Problem(
            "unload_te_excludes_cache",
            "Unload TE and Cache Text Embeddings are both on: one trains on the trigger alone, the "
            "other on every caption.",
            "Turn one of them off; Cache Text Embeddings frees the text encoder's memory too.",
            "training.unload_te",
        )
    if not job.job.trigger_word:
        yield Problem(
            "unload_te_without_trigger",
            "Unload TE trains every picture on the Trigger Word alone, but Trigger Word (Job) is "
            "blank.",
            "Fill in Trigger Word, or turn Unload TE off.",
            "job.trigger_word",
        )


def _folders_have_one_part(job: JobConfig) -> Iterator[Problem]:
    for i, dataset in enumerate(job.datasets):
        if dataset.mask_dataset == dataset.target_dataset:
            yield Problem(
                "mask_is_target",
                f"Mask Dataset is {dataset.mask_dataset!r}, the Target Dataset itself: each "
                "picture would be its own mask.",
                "Put the masks into a folder of their own, or leave Mask Dataset blank.",
                f"datasets.{i}.mask_dataset",
                params={"value": dataset.mask_dataset},
            )
        for place, name in enumerate(dataset.control_datasets):
            if name == dataset.target_dataset:
                yield Problem(
                    "reference_is_target",
                    f"Control Datasets names {name!r}, the Target Dataset itself: the LoRA would "
                    "learn to copy.",
                    "Name the folder that holds the pictures before the edit.",
                    f"datasets.{i}.control_datasets.{place}",
                    params={"value": name},
                )


def _flips_suit_the_pictures(job: JobConfig) -> Iterator[Problem]:
    for i, dataset in enumerate(job.datasets):
        if dataset.flip_y:
            yield Problem(
                "flips_turn_things_over",
                "With Flip Y the LoRA learns things upside down.",
                "It suits patterns and pictures from straight above; leave it off otherwise.",
                f"datasets.{i}.flip_y",
                Severity.WARNING,
            )


DATASET_RULES: tuple[Callable[[JobConfig], Iterator[Problem]], ...] = (
    _unload_te_has_a_trigger_and_no_cache,
    _folders_have_one_part,
    _flips_suit_the_pictures,
)
