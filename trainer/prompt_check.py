"""Prompts that the text encoder would cut, found at the door if the model's tokenizer is here.

Otherwise (the model is still to be downloaded, or its tokenizer has another form) they are found
when the run encodes, before it trains.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.errors import BadDataset, Problem
from trainer.model_parts import ModelSource
from trainer.prompt_tokens import NoTokenCounter, prompts_too_long
from trainer.texts import texts_of_run
from trainer.usable_items import long_setting_problems, usable_items
from trainer.validation_items import all_items

log = logging.getLogger(__name__)


def long_prompt_problems(
    job: JobConfig, indexes: Sequence[DatasetIndex], source: ModelSource
) -> tuple[list[DatasetIndex], list[Problem], list[Problem]]:
    """(indexes without the pictures that are left out, problems of datasets, of settings).

    indexes: one for each of the job's datasets, then the validation dataset's, if there is one.
    """
    folder = _tokenizer_folder(source)
    if folder is None:
        return list(indexes), [], []
    items = all_items(job, indexes)
    try:
        too_long = prompts_too_long(texts_of_run(job, items), folder, job.variant)
    except NoTokenCounter as error:
        log.info("prompts are measured when they are encoded: %s", error)
        return list(indexes), [], []
    try:
        kept, problems = usable_items(job, items, files={}, captions=too_long)
    except BadDataset as error:
        kept, problems = items, list(error.problems)
    stays = {(item.dataset, item.path) for item in kept}
    remaining = [
        replace(index, items=[item for item in index.items if (number, item.path) in stays])
        for number, index in enumerate(indexes)
    ]
    return remaining, problems, long_setting_problems(job, kept, too_long)


def _tokenizer_folder(source: ModelSource) -> Path | None:
    """Where the tokenizer lies; None if it is not on this machine."""
    if source.tokenizer is not None:
        return source.tokenizer
    base = source.base_folder
    folder = None if base is None else base / "tokenizer"
    return folder if folder is not None and folder.is_dir() else None
