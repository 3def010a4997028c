"""A drawing, from the admitted file to its pictures; and the one picture of `trainer sample`.

The way is a training's own: the prompts are encoded by a child that goes away, then the transformer
loads, quantized and streamed as the job that stands for the drawing says, then the Diffusers
pipeline draws. Pictures that lie in the folder already are not drawn again, so a drawing that was
interrupted goes on where it was.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from trainer.aside import StrandedWeights
from trainer.caching import CacheFolders
from trainer.config import JobConfig
from trainer.drawing_config import NO_PICTURES, DrawingConfig, as_job, lora_files
from trainer.drawing_door import DrawingVerdict, named_as_in_drawing
from trainer.drawing_model import DrawingModel, load_drawing_model, refuse_other_base
from trainer.encoded_run import EncodedRun
from trainer.encoding import encode_changed_prompts
from trainer.errors import DarkroomError, OutOfMemory
from trainer.events import Event, RunBegins
from trainer.failures import let_go_of_frames, named_failure
from trainer.folders import Folders
from trainer.hub_lora import HubLora, obtain_lora
from trainer.lora_reading import LoraFile, read_lora
from trainer.memory_failure import explained, explained_if_possible
from trainer.model_loading import empty_transformer
from trainer.model_obtaining import obtain_model
from trainer.model_parts import ModelParts
from trainer.offload_settling import settle_offloading
from trainer.pictures import read_picture
from trainer.previews import PicturePreviews, Previews
from trainer.run_record import Outcome, RunRecord, opened_run
from trainer.run_start import loading_progress, start, stopping_on_signals
from trainer.sample_check import control_image_path
from trainer.sample_round import lost_picture, preview_reporter, report_drawn, report_failed
from trainer.sampling import SampleRequest, draw, sample_requests, write_picture

logger = logging.getLogger(__name__)


def run_drawing(
    verdict: DrawingVerdict,
    *,
    parent: Path,
    folders: Folders,
    run_number: int | None = None,
    token: str = "",
) -> int:
    """Draw an admitted drawing into `parent`/<name>; the exit code, as errors.py lists them.

    Raises FolderInUse, or OSError if the run's files cannot be made; every other end is in its
    events.
    """
    drawing = verdict.admitted()
    with (
        opened_run(drawing, parent=parent, run_number=run_number, token=token) as record,
        stopping_on_signals(record.request_stop),
    ):
        try:
            outcome = _draw_missing(drawing, verdict, record, folders)
            exit_code = record.finish(outcome)
            if outcome.completed and outcome.step == drawing.num_units:
                # After the last word: a run that is cut off before it finds them again.
                shutil.rmtree(record.job_folder.loras, ignore_errors=True)
            return exit_code
        except Exception as error:
            failure = named_failure(error)
            if failure is None:
                return record.crash(error)
            if isinstance(failure, OutOfMemory):
                let_go_of_frames(error)  # the search for cures wants memory too
                failure = explained_if_possible(
                    failure,
                    lambda one: explained(
                        one,
                        as_job(drawing, verdict.loras),
                        NO_PICTURES,
                        folders,
                        phase=record.current_phase,
                        goes_on="Pictures that were drawn stay; the others are drawn when it is "
                        "queued again.",
                    ),
                )
            return record.fail(_in_own_names(failure))


def _draw_missing(
    drawing: DrawingConfig, verdict: DrawingVerdict, record: RunRecord, folders: Folders
) -> Outcome:
    """Every picture that is not there. Raises the errors of errors.py."""
    device = start(as_job(drawing, verdict.loras), record)
    for problem in verdict.warnings:
        record.warn(problem)
    record.report(RunBegins())
    folder = record.job_folder
    requests = sample_requests(as_job(drawing, verdict.loras))
    missing = [r for r in requests if not folder.sample(0, r.prompt_index).exists()]
    if not missing:
        return Outcome(completed=True, step=drawing.num_units, lora=None)
    paths = _obtain_loras(drawing, folders, record)
    job = as_job(drawing, paths)
    parts = obtain_model(job, folders, record)
    files = read_loras(paths, parts)
    settled = settle_offloading(job, NO_PICTURES, folders, device=device)
    record.phase("encode", "prompts")
    with encoded_prompts(
        settled, folders, device=device, report=record.report, stop_requested=record.poll
    ) as encoded:
        record.phase("load", "transformer")
        session = load_session(
            drawing,
            settled,
            parts,
            files,
            encoded,
            folders,
            device=device,
            progress=loading_progress(record),
        )
        record.phase("sample", f"{len(missing)} pictures")

        def explain(failure: OutOfMemory) -> DarkroomError:
            goes_on = "The other pictures are drawn all the same."
            told = explained(failure, job, NO_PICTURES, folders, phase="sample", goes_on=goes_on)
            return _in_own_names(told)

        num_drawn = _draw_each(session, missing, record, explain)
    num_there = drawing.num_units - len(missing) + num_drawn
    return Outcome(completed=not record.stop, step=num_there, lora=None)


def _obtain_loras(drawing: DrawingConfig, folders: Folders, record: RunRecord) -> list[Path]:
    """The LoRA files in the drawing's order, after the download of those that only the hub has.

    Raises BadLora, DiskFull, StopRequested.
    """
    paths = []
    for source in lora_files(drawing, folders, record.job_folder.parent):
        if isinstance(source, HubLora):
            record.phase("download", source.file)
            source = obtain_lora(
                source,
                progress=lambda done, total, name: record.progress(done, total, f"MB, {name}"),
                stop_requested=record.poll,
            )
        paths.append(source)
    return paths


def _draw_each(
    session: DrawingSession,
    missing: Sequence[SampleRequest],
    record: RunRecord,
    explain: Callable[[OutOfMemory], DarkroomError],
) -> int:
    """Draw and report; how many were drawn. Raises the last error if none was, and
    StrandedWeights.
    """
    num_drawn, last_error = 0, None
    previews = Previews(record.run_folder.preview)
    for done, request in enumerate(missing):
        record.progress(done, len(missing), request.prompt)
        if record.poll():
            return num_drawn
        path = record.job_folder.sample(0, request.prompt_index)
        try:
            becoming = previews.of_picture(
                session.model.pipeline.vae,
                width=request.width,
                height=request.height,
                say=preview_reporter(record, 0, request),
            )
            picture = session.draw(request, stop_requested=record.poll, previews=becoming)
            if picture is None:
                return num_drawn
            write_picture(path, picture, session.recipe(request))
        except StrandedWeights:
            raise
        except Exception as error:  # the others may be smaller, or have another file
            logger.warning("A picture failed.", exc_info=error)
            problem = lost_picture(error)
            # The exception outlives the picture and would hold on to its memory.
            let_go_of_frames(error)
            is_memory = problem.code == OutOfMemory.code
            last_error = OutOfMemory.from_problems([problem]) if is_memory else error
        else:
            num_drawn += 1
            report_drawn(record, 0, request, path)
            continue
        report_failed(record, 0, request, problem, explain=explain)
    record.progress(len(missing), len(missing))
    if last_error is not None and num_drawn == 0:
        raise last_error
    return num_drawn


@dataclass
class DrawingSession:
    """A loaded model with what the drawing's pictures need."""

    drawing: DrawingConfig
    model: DrawingModel
    loras: Sequence[LoraFile]
    encoded: EncodedRun
    datasets: Path

    def draw(
        self,
        request: SampleRequest,
        *,
        stop_requested: Callable[[], bool],
        previews: PicturePreviews | None = None,
    ) -> Image.Image | None:
        """One of the drawing's pictures; None if a stop was asked for meanwhile."""
        negative = request.negative_prompt
        references = [
            read_picture(control_image_path(name, self.datasets)) for name in request.control_images
        ]
        with (
            ExitStack() as room,
            self.model.wearing(self._lora_of(request), request.lora_strength),
        ):
            return draw(
                self.model.pipeline,
                request,
                variant=self.drawing.variant,
                prompt_embeds=self.encoded.prompt(request.prompt),
                negative_embeds=None if negative is None else self.encoded.prompt(negative),
                references=references,
                stop_requested=stop_requested,
                time_out_seconds=self.drawing.time_out_per_picture,
                before_decoding=lambda: self._make_room(room),
                previews=previews,
            )

    def recipe(self, request: SampleRequest) -> dict[str, Any]:
        """What the picture's file says about itself."""
        lora = self._lora_of(request)
        file = None if lora is None else self.loras[lora]
        about = {} if file is None else file.own_metadata
        recipe = request.recipe(about.get("training_name", ""), int(about.get("step", 0)))
        model = self.drawing.model.name_or_path or self.drawing.variant.architecture.value
        return recipe | {
            "architecture": self.drawing.variant.architecture.value,
            "model": model,
            # As the drawing names it; a kept file has another name.
            "lora": None if lora is None else Path(self.drawing.loras[lora]).name,
            "lora_strength": 0.0 if file is None else request.lora_strength,
        }

    def _lora_of(self, request: SampleRequest) -> int | None:
        return self.drawing.pictures[request.prompt_index].lora

    def _make_room(self, room: ExitStack) -> None:
        if self.drawing.model.low_vram:
            room.enter_context(self.model.transformer_aside())


@contextmanager
def encoded_prompts(
    job: JobConfig,
    folders: Folders,
    *,
    device: str,
    report: Callable[[Event], None],
    stop_requested: Callable[[], bool],
) -> Iterator[EncodedRun]:
    """The texts of the job's samples, encoded; those that a cache holds are not encoded again.

    Raises JobRefused for prompts that are too long, and what `encode_missing` raises.
    """
    empty = EncodedRun([], {}, {}, {}, CacheFolders(folders.cache), {"datasets": []}, {})
    with empty as encoded:
        try:
            encode_changed_prompts(
                job, folders, encoded, device=device, report=report, stop_requested=stop_requested
            )
        except DarkroomError as error:
            raise _in_own_names(error) from error
        yield encoded


def read_loras(paths: Sequence[Path], parts: ModelParts) -> list[LoraFile]:
    """The LoRA files, which fit the model. Raises BadLora, BadModel."""
    files = [read_lora(path) for path in paths]
    for file in files:
        refuse_other_base(empty_transformer(parts.transformer), file)
    return files


def load_session(
    drawing: DrawingConfig,
    settled: JobConfig,
    parts: ModelParts,
    loras: Sequence[LoraFile],
    encoded: EncodedRun,
    folders: Folders,
    *,
    device: str,
    progress: Callable[[int, int], None],
) -> DrawingSession:
    """The model with its LoRAs. settled: `as_job`, with shares in the place of *auto* offloading.

    loras: as `read_loras` gives them. Raises BadModel.
    """
    model = load_drawing_model(settled, parts, loras, folders, device=device, progress=progress)
    return DrawingSession(drawing, model, loras, encoded, folders.datasets)


def _in_own_names(error: DarkroomError) -> DarkroomError:
    """The error, its problems at the drawing's fields instead of those of the job."""
    return type(error).from_problems([named_as_in_drawing(one) for one in error.problems])
