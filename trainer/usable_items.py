"""Which pictures can train, once it is known which files and texts cannot be used.

Bad Files of each dataset decides whether theirs refuse the job or are left out with a warning. A
text that no picture wrote (a sample's, a negative prompt, the probe's class) always refuses: there
is nothing to leave out. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer.config import JobConfig
from trainer.errors import BadDataset, Problem, Severity
from trainer.file_problems import problem_of_files
from trainer.texts import negative_prompt_text, sample_prompt_text, samples_need_negative_prompt
from trainer.training_items import TrainingItem
from trainer.validation_items import probe_pairs


def usable_items(
    job: JobConfig,
    items: Sequence[TrainingItem],
    *,
    files: Mapping[Path, str],
    captions: Mapping[str, str],
) -> tuple[list[TrainingItem], list[Problem]]:
    """The pictures that can train, and a warning for each dataset that leaves some out.

    files: faults by path. captions: faults by text. Raises BadDataset with all that is wrong where
    a dataset refuses bad files, or where nothing is left.
    """
    if not files and not captions:
        return list(items), []
    validation = job.dataset_of_validation
    datasets = [*job.datasets, *([] if validation is None else [validation])]
    paths = {path.resolve(): fault for path, fault in files.items()}
    kept: list[TrainingItem] = []
    faults: dict[int, dict[str, list[str]]] = {}
    for item in items:
        own = _faults_of(item, paths, captions)
        if not own:
            kept.append(item)
        for code, name in own:
            names = faults.setdefault(item.dataset, {}).setdefault(code, [])
            if name not in names:
                names.append(name)
    if not faults:
        return kept, []

    problems = [
        _problem(
            code,
            names,
            "advanced.validation_dataset" if number == len(job.datasets) else f"datasets.{number}",
            leaves_out=datasets[number].bad_files == "leave_out",
        )
        for number, by_code in sorted(faults.items())
        for code, names in by_code.items()
    ]
    errors = [problem for problem in problems if problem.severity == Severity.ERROR]
    if errors:
        raise BadDataset.from_problems(errors)
    if not any(not item.is_regularization for item in kept):
        raise BadDataset(
            "Leaving bad files out leaves no picture to train on: "
            + " ".join(problem.message for problem in problems),
            "Replace the files.",
            code="dataset_without_usable_pictures",
            field="datasets",
        )
    return kept, problems


def long_setting_problems(
    job: JobConfig, items: Sequence[TrainingItem], too_long: Mapping[str, str]
) -> list[Problem]:
    """The texts of settings that are longer than the text encoder reads, each at its field.

    too_long: lengths by text, as `prompts_too_long` gives them.
    """
    texts = {
        f"sample.prompts.{number}.prompt": ("The sample prompt", sample_prompt_text(job, prompt))
        for number, prompt in enumerate(job.sample.prompts)
    }
    if samples_need_negative_prompt(job):
        texts["sample.negative_prompt"] = ("The negative prompt", negative_prompt_text(job))
    for pair in probe_pairs(job, items):
        if pair.without_trigger in too_long:
            what = f"With Preservation Class in it, the caption of {pair.item.name}"
            texts["regularization.preservation_class"] = (what, pair.without_trigger)
    return [
        Problem(
            "prompt_too_long",
            f"{what} has {too_long[text]}; its end would be cut off.",
            "Shorten it.",
            field,
            params={"length": too_long[text]},
        )
        for field, (what, text) in texts.items()
        if text in too_long
    ]


def _faults_of(
    item: TrainingItem, paths: Mapping[Path, str], captions: Mapping[str, str]
) -> list[tuple[str, str]]:
    """(code of the problem, the file with its fault) for all that keeps an item from training."""
    found: list[tuple[str, str]] = []
    files = {
        "pictures_damaged": [item.path],
        "masks_unusable": [item.mask] if item.mask else [],
        "references_unusable": [reference.path for reference in item.references],
    }
    for code, own in files.items():
        for path in own:
            if fault := paths.get(path.resolve()):
                found.append((code, f"{path.name} ({fault})"))
    for text in (item.caption, item.class_caption):
        if text is not None and text in captions:
            found.append(("captions_too_long", f"{item.name} ({captions[text]})"))
    return found


_WORDS = {
    "pictures_damaged": (
        "Pictures that cannot be read: {names}.",
        "Replace or remove them.",
        "target_dataset",
    ),
    "masks_unusable": (
        "Masks that cannot be used: {names}.",
        "Replace them; white is what trains.",
        "mask_dataset",
    ),
    "references_unusable": (
        "Reference pictures that cannot be read: {names}.",
        "Replace them.",
        "control_datasets",
    ),
    "captions_too_long": (
        "Captions longer than the text encoder reads: {names}.",
        "Shorten them: what is past the limit would be cut off.",
        "target_dataset",
    ),
}


def _problem(code: str, names: Sequence[str], place: str, *, leaves_out: bool) -> Problem:
    """place: where the dataset stands in the job; the Validation Dataset is a field by itself."""
    message, hint, field = _WORDS[code]
    return problem_of_files(
        code,
        message,
        "Their pictures are left out, as Bad Files says." if leaves_out else hint,
        names,
        f"{place}.{field}" if place.startswith("datasets.") else place,
        Severity.WARNING if leaves_out else Severity.ERROR,
    )
