"""Every distinct text that a run can need, so that each is encoded once and the encoder can go."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.captions import replace_trigger_placeholder
from trainer.config import JobConfig
from trainer.panels.sample import SamplePrompt
from trainer.training_items import TrainingItem
from trainer.validation_items import probe_pairs

EMPTY_PROMPT = ""


def texts_of_run(job: JobConfig, items: Sequence[TrainingItem]) -> list[str]:
    """The texts in the order of first use: captions, class captions, empty prompt, the preservation
    probe's, samples.
    """
    texts = [item.caption for item in items]
    texts += [item.class_caption for item in items if item.class_caption is not None]
    if any(item.caption_dropout_rate > 0 for item in items):
        texts.append(EMPTY_PROMPT)
    if samples_need_negative_prompt(job):
        texts.append(negative_prompt_text(job))
    texts += [pair.without_trigger for pair in probe_pairs(job, items)]
    texts += [sample_prompt_text(job, prompt) for prompt in job.sample.prompts]
    return list(dict.fromkeys(texts))


def sample_prompt_text(job: JobConfig, prompt: SamplePrompt) -> str:
    """The text that a sample prompt is drawn from: [trigger] replaced."""
    return replace_trigger_placeholder(prompt.prompt, job.job.trigger_word)


def sample_guidance(job: JobConfig, prompt: SamplePrompt) -> float:
    """A sample's guidance scale: the prompt's own, else the panel's, else the architecture's."""
    for own in (prompt.guidance_scale, job.sample.guidance_scale):
        if own is not None:
            return own
    return job.variant.sample_guidance


def negative_prompt_text(job: JobConfig) -> str:
    """The text that samples are drawn away from, usually the empty prompt: [trigger] replaced."""
    return replace_trigger_placeholder(job.sample.negative_prompt, job.job.trigger_word)


def samples_need_negative_prompt(job: JobConfig) -> bool:
    """Whether a sample is drawn against the negative prompt.

    klein has no guidance embedding: above 1, its pipeline predicts with and without the prompt and
    moves away from the latter.
    """
    if job.variant.pipeline_class != "Flux2KleinPipeline":
        return False
    return any(sample_guidance(job, prompt) > 1 for prompt in job.sample.prompts)
