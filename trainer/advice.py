"""Advice: what the guides would say to somebody who filled in a job like this.

A job that is advised on is a good job: nothing here refuses or warns. `job_rules.py` warns of what
will disappoint; here stands what is worth a second thought, with the number that it is about. Some
of it depends on what the LoRA is to learn, which a job does not say: a form may, and without it
only what holds for every kind is said. Imports no torch.

    setting                advised when
    Learning Rate          below 5e-5 with the weights quantized and streamed
    Linear Rank, Steps     outside the guides' range for the kind
    Gradient Accumulation  the effective batch, wherever it is not Batch Size
    Dropout, Caption Dropout Rate   beyond what is usual
    Trigger Word           blank, and the captions do not say how to edit
    Prompts                none with the trigger, or none without
    Flip X                 the kind is character, or is not known
    Datasets               too few or too many pictures for the kind; words in most captions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from trainer.caption_words import recurring_words
from trainer.captions import contains_trigger, has_trigger_placeholder
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.errors import Problem, Severity
from trainer.panels.field import TRIGGER_PLACEHOLDER
from trainer.presets import KINDS, Kind
from trainer.variants import Architecture

# Half of what the guides begin with; they take it when samples overshoot, with nothing streamed.
_SLOW_RATE = 5e-5
# Rates are of AdamW's; the others' have other sizes (objective_rules.py).
_LIKE_ADAMW = ("adamw", "adamw8bit", "adafactor")
# Help texts name 0.05-0.1 for both; beyond these the LoRA misses more than it is meant to.
_MOST_DROPOUT = 0.2
_MOST_CAPTION_DROPOUT = 0.2
_MOST_WORDS = 8


def advice_on(
    job: JobConfig, indexes: Sequence[DatasetIndex], kind: Kind | None = None
) -> list[Problem]:
    """All advice on a job. indexes: one for each of its datasets, or none if they are not known.

    kind: what the LoRA is to learn; control datasets alone say that it is to edit.
    """
    if kind is None and any(dataset.control_datasets for dataset in job.datasets):
        kind = Kind.EDIT
    found = [problem for rule in _RULES for problem in rule(job, kind)]
    found += _on_pictures(job, indexes, kind)
    return found


def _advice(field: str, code: str, message: str, hint: str, **params: object) -> Problem:
    return Problem(code, message, hint, field, Severity.INFO, params)


def _learning_rate_moves_quantized_weights(job: JobConfig, kind: Kind | None) -> Iterator[Problem]:
    rate = job.training.learning_rate
    streams = job.model.layer_offloading != "off"
    quantized = job.quantization.transformer != "none"
    is_tiny = job.model.model_architecture == Architecture.TINY
    slow = rate < _SLOW_RATE and job.training.optimizer in _LIKE_ADAMW
    if slow and streams and quantized and not is_tiny:
        yield _advice(
            "training.learning_rate",
            "learning_rate_slow",
            f"At Learning Rate {rate:g}, with quantized weights and Layer Offloading, a night of "
            "training often changes almost nothing.",
            "The guides start at 1e-4, and take 5e-5 only when samples overshoot.",
            value=rate,
        )


def _rank_and_steps_suit_the_kind(job: JobConfig, kind: Kind | None) -> Iterator[Problem]:
    if kind is None or job.model.model_architecture == Architecture.TINY:
        return
    row = KINDS[kind]
    rank, steps = job.target.linear_rank, job.training.steps
    if job.target.target_type == "lora" and rank > row.ranks[1]:
        yield _advice(
            "target.linear_rank",
            "rank_above_guides",
            f"Linear Rank {rank} is more than the guides take for this kind ({row.label}): "
            f"{row.ranks[0]}-{row.ranks[1]}.",
            "More rank learns the pictures themselves sooner, and makes a larger file.",
            value=rank,
        )
    low, high = row.steps_range
    if not low <= steps <= high:
        fate = "may not have learned it" if steps < low else "often repeats the pictures"
        yield _advice(
            "training.steps",
            "steps_outside_guides",
            f"Steps {steps} is outside the guides' {low}-{high} for this kind ({row.label}): the "
            f"LoRA {fate} by then.",
            "Checkpoints on the way show where it was best.",
            value=steps,
        )


def _effective_batch(job: JobConfig, kind: Kind | None) -> Iterator[Problem]:
    batch, passes = job.training.batch_size, job.training.gradient_accumulation
    if passes > 1:
        yield _advice(
            "training.gradient_accumulation",
            "effective_batch",
            f"Effective batch {batch * passes} = Batch Size {batch} x Gradient Accumulation "
            f"{passes}.",
            "A step sees as many pictures and takes as many times as long.",
            effective_batch=batch * passes,
        )


def _dropouts_are_usual(job: JobConfig, kind: Kind | None) -> Iterator[Problem]:
    dropout = job.target.dropout
    if dropout > _MOST_DROPOUT:
        yield _advice(
            "target.dropout",
            "dropout_unusual",
            f"Dropout {dropout:g} hides {dropout:.0%} of a layer's inputs at every step.",
            "0.05-0.1 is usual against overfitting of few pictures.",
            value=dropout,
        )
    for number, dataset in enumerate(job.datasets):
        rate = dataset.caption_dropout_rate
        if _MOST_CAPTION_DROPOUT < rate < 1:
            yield _advice(
                f"datasets.{number}.caption_dropout_rate",
                "caption_dropout_unusual",
                f"At Caption Dropout Rate {rate:g} the pictures train the empty prompt {rate:.0%} "
                "of the time, and less of them is left for the trigger.",
                "0.05-0.1 is usual.",
                value=rate,
            )


def _there_is_a_trigger(job: JobConfig, kind: Kind | None) -> Iterator[Problem]:
    if not job.job.trigger_word and kind != Kind.EDIT and not job.training.unload_te:
        yield _advice(
            "job.trigger_word",
            "no_trigger",
            "Without a Trigger Word the LoRA shows in every prompt that it is loaded for.",
            f"Make up a word and write {TRIGGER_PLACEHOLDER} into the captions, or leave it so if "
            "that is meant.",
        )


def _samples_show_trigger_and_leak(job: JobConfig, kind: Kind | None) -> Iterator[Problem]:
    trigger = job.job.trigger_word.strip()
    prompts = [prompt.prompt for prompt in job.sample.prompts]
    if not trigger or not prompts:
        return
    called = [has_trigger_placeholder(text) or contains_trigger(text, trigger) for text in prompts]
    if not any(called):
        yield _advice(
            "sample.prompts",
            "samples_without_trigger",
            f"No sample prompt contains {trigger!r}, so the pictures will not show what is "
            "learned.",
            f"Write {TRIGGER_PLACEHOLDER} into all prompts but one.",
        )
    elif all(called):
        yield _advice(
            "sample.prompts",
            "samples_show_no_leak",
            f"Every sample prompt contains {trigger!r}.",
            "One more without it shows whether the LoRA changes what it should leave alone.",
        )


def _flips_suit_faces(job: JobConfig, kind: Kind | None) -> Iterator[Problem]:
    for number, dataset in enumerate(job.datasets):
        if dataset.flip_x and kind in (None, Kind.CHARACTER):
            yield _advice(
                f"datasets.{number}.flip_x",
                "flips_mirror_faces",
                "Faces are not symmetric: with Flip X a person's parting, moles and lettering "
                "change sides.",
                "Leave it off for people and for anything with writing.",
            )


def _on_pictures(
    job: JobConfig, indexes: Sequence[DatasetIndex], kind: Kind | None
) -> Iterator[Problem]:
    chosen = [
        (number, index)
        for number, (dataset, index) in enumerate(zip(job.datasets, indexes, strict=False))
        if not dataset.is_regularization and index.items
    ]
    count = sum(len(index.items) for _, index in chosen)
    if count == 0:
        return
    if kind is not None and job.model.model_architecture != Architecture.TINY:
        yield from _count_suits_the_kind(count, kind)
    if kind == Kind.EDIT or job.training.unload_te:
        return  # what instructions have in common is what they are to say
    for number, index in chosen:
        captions = [item.caption for item in index.items]
        own = (job.job.trigger_word, TRIGGER_PLACEHOLDER, job.regularization.preservation_class)
        words = recurring_words(captions, leave_out=own)[:_MOST_WORDS]
        if words:
            named = ", ".join(words)
            yield _advice(
                f"datasets.{number}.target_dataset",
                "words_in_most_captions",
                f"Most captions of {index.folder.name} say: {named}. What captions say is learned "
                "with those words, and not with the trigger.",
                "Take out those that describe what the LoRA itself is to bring.",
                words=words,
            )


def _count_suits_the_kind(count: int, kind: Kind) -> Iterator[Problem]:
    row = KINDS[kind]
    low, high = row.images
    what = "triples" if kind == Kind.EDIT else "pictures"
    if count < low:
        yield _advice(
            "datasets",
            "few_pictures_for_kind",
            f"{count} {what} are fewer than the guides take for this kind ({row.label}): "
            f"{low}-{high}.",
            "Add some, as different from each other as they can be, or take fewer Steps.",
            count=count,
        )
    elif count > high:
        yield _advice(
            "datasets",
            "many_pictures_for_kind",
            f"{count} {what} are more than the guides take for this kind ({row.label}): "
            f"{low}-{high}.",
            "The best ones alone often learn faster; with all of them, raise Steps.",
            count=count,
        )


_RULES: tuple[Callable[[JobConfig, Kind | None], Iterator[Problem]], ...] = (
    _learning_rate_moves_quantized_weights,
    _rank_and_steps_suit_the_kind,
    _effective_batch,
    _dropouts_are_usual,
    _there_is_a_trigger,
    _samples_show_trigger_and_leak,
    _flips_suit_faces,
)
