"""Draw the job's prompts at a step, and never let that disturb the training.

Whatever goes wrong with a picture is reported as SampleFailed and the training goes on; the LoRA,
its gradients' switches and the random numbers of the steps are as they were before. Where memory
ran out, the report has what a run that ends so would say: the measured peak and what lowers it.
Only weights that made way for the decoding and do not come back end the run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from trainer.aside import StrandedWeights
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.encoding import EncodedRun
from trainer.errors import DarkroomError, OutOfMemory, Problem
from trainer.events import Sample, SampleFailed, SamplePreview
from trainer.failures import named_failure
from trainer.folders import Folders
from trainer.memory_failure import explained, explained_if_possible
from trainer.pictures import read_picture
from trainer.previews import Previews, Said
from trainer.run_record import RunRecord
from trainer.sample_check import control_image_path
from trainer.sampling import Pipeline, SampleRequest, draw, sample_requests, write_picture
from trainer.trainee import Trainee

logger = logging.getLogger(__name__)


class SampleRounds:
    """The job's pictures, drawn again and again with what the LoRA has become."""

    def __init__(
        self,
        job: JobConfig,
        pipeline: Pipeline,
        encoded: EncodedRun,
        record: RunRecord,
        *,
        indexes: Sequence[DatasetIndex],
        folders: Folders,
    ):
        self._pipeline = pipeline
        self._indexes = indexes
        self._folders = folders
        self._record = record
        self._encoded = encoded
        self._previews = Previews(record.run_folder.preview)
        self.change(job)

    def change(self, job: JobConfig) -> None:
        """Draw what `job` asks for from now on; its prompts are encoded."""
        encoded = self._encoded
        self._job = job
        self._requests = sample_requests(job)
        texts = [r.prompt for r in self._requests]
        texts += [r.negative_prompt for r in self._requests if r.negative_prompt is not None]
        self._prompts = {text: encoded.prompt(text) for text in texts}

    def draw_missing(self, trainee: Trainee) -> None:
        """The pictures that should be there before the next step and are not.

        These are the base model's at the very beginning, and after a resume what a kill prevented.
        """
        for step in sorted({0, trainee.step}):
            self._draw_missing_if_due(trainee, step)

    def draw_missing_of_base(self, trainee: Trainee) -> None:
        """The base model's pictures that should be there and are not."""
        self._draw_missing_if_due(trainee, 0)

    def draw_missing_at(self, trainee: Trainee, step: int) -> None:
        """The pictures of a step, the present one or 0, that are not there."""
        self._draw(trainee, step, missing_requests(self._record, self._job, step))

    def _draw_missing_if_due(self, trainee: Trainee, step: int) -> None:
        if is_sample_due(self._job, step):
            self.draw_missing_at(trainee, step)

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
                # Left after a failed picture's memory is free again, or there is no way back in.
                with ExitStack() as room:
                    self._draw_one(trainee, step, request, room)
            self._record.progress(len(requests), len(requests))

    def _draw_one(
        self, trainee: Trainee, step: int, request: SampleRequest, room: ExitStack
    ) -> None:
        """room: what making way for the decoding enters."""

        def before_decoding() -> None:
            if self._job.model.low_vram:
                room.enter_context(trainee.transformer_aside())

        path = self._record.job_folder.sample(step, request.prompt_index)
        negative = request.negative_prompt
        try:
            references = [
                read_picture(control_image_path(name, self._folders.datasets))
                for name in request.control_images
            ]
            with trainee.lora.weighted(request.lora_strength):
                picture = draw(
                    self._pipeline,
                    request,
                    variant=self._job.variant,
                    prompt_embeds=self._prompts[request.prompt],
                    negative_embeds=None if negative is None else self._prompts[negative],
                    references=references,
                    stop_requested=self._record.poll,
                    time_out_seconds=self._job.sample.time_out_per_sample,
                    before_decoding=before_decoding,
                    previews=self._previews.of_picture(
                        self._pipeline.vae,
                        width=request.width,
                        height=request.height,
                        say=preview_reporter(self._record, step, request),
                    ),
                )
            if picture is None:
                return
            write_picture(path, picture, request.recipe(self._job.job.training_name, step))
        except StrandedWeights:
            raise
        except Exception as error:  # a lost picture must not cost the training
            logger.warning("A sample failed.", exc_info=error)
            problem = lost_picture(error)
        else:
            report_drawn(self._record, step, request, path)
            return
        report_failed(self._record, step, request, problem, explain=self._explained)

    def _explained(self, failure: OutOfMemory) -> OutOfMemory:
        return explained(
            failure,
            self._job,
            self._indexes,
            self._folders,
            phase="sample",
            goes_on="Training goes on.",
        )


def report_drawn(record: RunRecord, step: int, request: SampleRequest, path: Path) -> None:
    """Say that a picture is on disk."""
    record.report(
        Sample(
            step=step,
            prompt_index=request.prompt_index,
            prompt=request.prompt,
            seed=request.seed,
            width=request.width,
            height=request.height,
            guidance_scale=request.guidance_scale,
            sample_steps=request.sample_steps,
            lora_strength=request.lora_strength,
            negative_prompt=request.negative_prompt,
            control_images=list(request.control_images),
            path=record.job_folder.relative(path),
        )
    )


def lost_picture(error: Exception) -> Problem:
    """What is wrong with a picture. It outlives the exception, which holds the picture's memory."""
    failure = named_failure(error)
    if isinstance(failure, OutOfMemory):
        return failure.problems[0]
    return Problem("sample_failed", f"{type(error).__name__}: {error}", "")


def report_failed(
    record: RunRecord,
    step: int,
    request: SampleRequest,
    problem: Problem,
    *,
    explain: Callable[[OutOfMemory], DarkroomError],
) -> None:
    """Say that a picture could not be drawn, and give back what memory it had.

    problem: of `lost_picture`. explain: adds what would have helped where memory ran out.
    """
    if problem.params.get("device") == "gpu":
        torch.cuda.empty_cache()
    if problem.code == OutOfMemory.code:
        failure = OutOfMemory(problem.message, problem.hint, params=problem.params)
        (problem,) = explained_if_possible(failure, explain).problems
    record.report(
        SampleFailed(
            step=step,
            prompt_index=request.prompt_index,
            prompt=request.prompt,
            message=problem.message,
            code=problem.code,
            hint=problem.hint,
            params=dict(problem.params),
        )
    )


def preview_reporter(record: RunRecord, step: int, request: SampleRequest) -> Said:
    """Reports the previews of a picture as events."""

    def say(done: int, total: int, path: Path) -> None:
        record.report(
            SamplePreview(
                step=step,
                prompt_index=request.prompt_index,
                prompt=request.prompt,
                done=done,
                total=total,
                path=path.name,
            )
        )

    return say


def is_sample_due(job: JobConfig, step: int) -> bool:
    """Whether the job asks for pictures after `step` steps."""
    if step == 0:
        return job.sample.first_sample_at_step_0
    return step % job.sample_every == 0 or step == job.training.steps


def missing_requests(record: RunRecord, job: JobConfig, step: int) -> list[SampleRequest]:
    """The pictures of a step that are not on disk."""
    folder = record.job_folder
    return [r for r in sample_requests(job) if not folder.sample(step, r.prompt_index).exists()]
