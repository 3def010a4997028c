"""Draw the job's prompts at a step, and never let that disturb the training.

Whatever goes wrong with a picture is reported as SampleFailed and the training goes on; the LoRA,
its gradients' switches and the random numbers of the steps are as they were before.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from trainer.config import JobConfig
from trainer.encoding import EncodedRun
from trainer.events import Sample, SampleFailed
from trainer.run_record import RunRecord
from trainer.sampling import Pipeline, SampleRequest, draw, sample_requests, write_picture
from trainer.texts import EMPTY_PROMPT, samples_need_empty_prompt
from trainer.trainee import Trainee

logger = logging.getLogger(__name__)


class SampleRounds:
    """The job's pictures, drawn again and again with what the LoRA has become."""

    def __init__(self, job: JobConfig, pipeline: Pipeline, encoded: EncodedRun, record: RunRecord):
        self._pipeline = pipeline
        self._record = record
        self._encoded = encoded
        self.change(job)

    def change(self, job: JobConfig) -> None:
        """Draw what `job` asks for from now on; its prompts are encoded."""
        encoded = self._encoded
        self._job = job
        self._requests = sample_requests(job)
        self._prompts = {r.prompt: encoded.prompt(r.prompt) for r in self._requests}
        self._empty = encoded.prompt(EMPTY_PROMPT) if samples_need_empty_prompt(job) else None

    def draw_missing(self, trainee: Trainee) -> None:
        """The pictures that should be there before the next step and are not.

        These are the base model's at the very beginning, and after a resume what a kill prevented.
        """
        for step in sorted({0, trainee.step}):
            self._draw_missing_at(trainee, step)

    def draw_missing_of_base(self, trainee: Trainee) -> None:
        """The base model's pictures that should be there and are not."""
        self._draw_missing_at(trainee, 0)

    def _draw_missing_at(self, trainee: Trainee, step: int) -> None:
        if is_sample_due(self._job, step):
            self._draw(trainee, step, missing_requests(self._record, self._job, step))

    def draw_all(self, trainee: Trainee) -> None:
        """Every prompt at the present step."""
        self._draw(trainee, trainee.step, self._requests)

    def _draw(self, trainee: Trainee, step: int, requests: Sequence[SampleRequest]) -> None:
        if not requests:
            return
        what = "the base model's pictures" if step == 0 else f"{len(requests)} pictures"
        with (
            self._record.within("sample", what),
            trainee.ready_to_draw(base_model=step == 0),
        ):
            for done, request in enumerate(requests):
                self._record.progress(done, len(requests), request.prompt)
                if self._record.poll():
                    return
                self._draw_one(step, request)
            self._record.progress(len(requests), len(requests))

    def _draw_one(self, step: int, request: SampleRequest) -> None:
        path = self._record.job_folder.sample(step, request.prompt_index)
        try:
            picture = draw(
                self._pipeline,
                request,
                variant=self._job.variant,
                prompt_embeds=self._prompts[request.prompt],
                empty_embeds=self._empty if request.guidance_scale > 1 else None,
                stop_requested=self._record.poll,
            )
            if picture is None:
                return
            write_picture(path, picture, request.recipe(self._job.job.training_name, step))
        except Exception as error:  # a lost picture must not cost the training
            logger.warning("A sample failed.", exc_info=error)
            self._record.report(
                SampleFailed(
                    step=step,
                    prompt_index=request.prompt_index,
                    prompt=request.prompt,
                    message=f"{type(error).__name__}: {error}",
                )
            )
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()
            return
        self._record.report(
            Sample(
                step=step,
                prompt_index=request.prompt_index,
                prompt=request.prompt,
                seed=request.seed,
                width=request.width,
                height=request.height,
                guidance_scale=request.guidance_scale,
                sample_steps=request.sample_steps,
                path=self._record.job_folder.relative(path),
            )
        )


def is_sample_due(job: JobConfig, step: int) -> bool:
    """Whether the job asks for pictures after `step` steps."""
    if step == 0:
        return job.sample.first_sample_at_step_0
    return step % job.sample_every == 0 or step == job.training.steps


def missing_requests(record: RunRecord, job: JobConfig, step: int) -> list[SampleRequest]:
    """The pictures of a step that are not on disk."""
    folder = record.job_folder
    return [r for r in sample_requests(job) if not folder.sample(step, r.prompt_index).exists()]
