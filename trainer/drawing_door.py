"""The door of a drawing: what is known of it before a model loads; see door.py for a job's.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainer.config import JobConfig
from trainer.door import model_problems
from trainer.drawing_config import NO_PICTURES, DrawingConfig, as_job, lora_files
from trainer.errors import BadLora, BadModel, DarkroomError, JobRefused, Problem, Severity
from trainer.folders import Folders
from trainer.hub_lora import HubLora, hub_lora_problems
from trainer.lora_fit import changed_weights, misfit
from trainer.lora_header import told_other_base
from trainer.machine import Machine
from trainer.memory_check import judge_job, memory_problems
from trainer.model_shapes import TransformerShapes, shapes_of
from trainer.prompt_check import long_prompt_problems
from trainer.quantization_support import kind_problems
from trainer.sample_check import control_image_problems
from trainer.schema_refusals import schema_problem


@dataclass(frozen=True)
class DrawingVerdict:
    """What the door found. drawing: None when the schema refuses it.

    loras: the files that are on this machine.
    """

    drawing: DrawingConfig | None
    problems: list[Problem] = field(default_factory=list)
    model_problems: list[Problem] = field(default_factory=list)
    lora_problems: list[Problem] = field(default_factory=list)
    loras: list[Path] = field(default_factory=list)

    @property
    def all_problems(self) -> list[Problem]:
        """Errors and warnings."""
        return self.problems + self.lora_problems + self.model_problems

    @property
    def errors(self) -> list[Problem]:
        """What keeps it from being drawn."""
        return [one for one in self.all_problems if one.severity == Severity.ERROR]

    @property
    def warnings(self) -> list[Problem]:
        return [one for one in self.all_problems if one.severity == Severity.WARNING]

    def admitted(self) -> DrawingConfig:
        """The drawing, if it can be drawn.

        Raises JobRefused, BadLora or BadModel, by what the first error is about; whichever it is
        carries all errors found.
        """
        if not self.errors:
            assert self.drawing is not None
            return self.drawing
        kinds: tuple[tuple[list[Problem], type[DarkroomError]], ...] = (
            (self.problems, JobRefused),
            (self.lora_problems, BadLora),
            (self.model_problems, BadModel),
        )
        kind = next(
            kind
            for problems, kind in kinds
            if any(one.severity == Severity.ERROR for one in problems)
        )
        raise kind.from_problems(self.errors)


def examine_drawing(
    data: Mapping[str, Any],
    folders: Folders,
    machine_for: Callable[[JobConfig], Machine | None] | None = None,
    *,
    parent: Path | None = None,
) -> DrawingVerdict:
    """Everything wrong with a drawing, unchecked as it came from a page or a file.

    parent: of its folder, as `lora_files` takes it.
    """
    try:
        drawing = parse_drawing(data)
    except JobRefused as refusal:
        return DrawingVerdict(None, list(refusal.problems))
    try:
        sources = lora_files(drawing, folders, parent)
    except JobRefused as refusal:
        return DrawingVerdict(drawing, list(refusal.problems))
    except BadLora as error:
        return DrawingVerdict(drawing, lora_problems=list(error.problems))
    files = [source for source in sources if isinstance(source, Path)]
    lora_problems = _lora_problems(drawing, files, folders)
    for source in sources:
        lora_problems += hub_lora_problems(source) if isinstance(source, HubLora) else []
    job = as_job(drawing, files)
    of_model, source = model_problems(job, folders)
    problems = kind_problems(job) + control_image_problems(job, folders.datasets)
    if source is not None:
        _, _, long_prompts = long_prompt_problems(job, NO_PICTURES, source)
        problems += long_prompts
    machine = None if machine_for is None else machine_for(job)
    if machine is not None:
        problems += memory_problems(job, judge_job(job, NO_PICTURES, machine, folders), machine)
    return DrawingVerdict(
        drawing,
        [named_as_in_drawing(one) for one in problems],
        [named_as_in_drawing(one) for one in of_model],
        lora_problems,
        files,
    )


def parse_drawing(data: Mapping[str, Any]) -> DrawingConfig:
    """The drawing in a mapping. Raises JobRefused with one Problem for each field at fault."""
    try:
        return DrawingConfig.model_validate(data)
    except ValidationError as error:
        schema = DrawingConfig.model_json_schema()
        raise JobRefused.from_problems(
            [schema_problem(details, schema) for details in error.errors(include_url=False)]
        ) from error


def named_as_in_drawing(problem: Problem) -> Problem:
    """A problem of the job that stands for the drawing, at the drawing's own field."""
    if problem.field is None:
        return problem
    own = problem.field.replace("sample.prompts.", "pictures.")
    own = {"sample.negative_prompt": "negative_prompt", "advanced.memory_plan": "model"}.get(
        own, own
    )
    return replace(problem, field=own)


def _lora_problems(
    drawing: DrawingConfig, files: Sequence[Path], folders: Folders
) -> list[Problem]:
    """Is each file a LoRA, and this model's?"""
    if not files:
        return []
    model = shapes_of(drawing.model, folders).transformer
    return [
        problem
        for file in files
        for problem in _told_base_problems(drawing, file) or _layer_problems(drawing, file, model)
    ]


def _layer_problems(drawing: DrawingConfig, file: Path, model: TransformerShapes) -> list[Problem]:
    """Does the model have the layers that the file changes?"""
    try:
        found = misfit(changed_weights(file), model)
    except BadLora as error:
        return list(error.problems)
    if found is None:
        return []
    return [
        Problem(
            "lora_of_another_base",
            f"{file} was trained on another model than {drawing.variant.label}: it {found}.",
            "Choose the Model Architecture that it was trained on, or another LoRA.",
            "model.model_architecture",
            params={"path": str(file)},
        )
    ]


def _told_base_problems(drawing: DrawingConfig, file: Path) -> list[Problem]:
    """Does the file say that it is another model's?"""
    told = told_other_base(file, drawing.model.model_architecture)
    if told is None:
        return []
    return [
        Problem(
            "lora_of_another_base",
            f"{file} was trained on {told}, and the pictures are to be drawn with "
            f"{drawing.variant.label}.",
            "Choose that Model Architecture, or another LoRA.",
            "model.model_architecture",
            params={"path": str(file), "trained_on": told},
        )
    ]
