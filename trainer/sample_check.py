"""The reference pictures of sample prompts: where they lie, and whether they can be shown."""

from __future__ import annotations

from pathlib import Path

from trainer.companions import reference_fault
from trainer.config import JobConfig
from trainer.errors import JobRefused, Problem
from trainer.folders import located
from trainer.pictures import UnreadablePicture, upright_size


def control_image_path(name: str, datasets: Path) -> Path:
    """Where a control image lies: an absolute path, or a name within the datasets folder.

    Raises JobRefused for a name that leads out of it.
    """
    return located(datasets, name)


def control_image_problems(job: JobConfig, datasets: Path) -> list[Problem]:
    """Every control image of a sample prompt that cannot be shown to the model."""
    problems: list[Problem] = []
    for number, prompt in enumerate(job.sample.prompts):
        field = f"sample.prompts.{number}.control_images"
        for name in prompt.control_images:
            reason = _reason_against(name, datasets)
            if reason is not None:
                problems.append(
                    Problem(
                        "control_image_unusable",
                        f"The control image {name!r} cannot be used: {reason}.",
                        "Give a picture's name within the datasets folder, or an absolute path.",
                        field,
                        params={"name": name, "reason": reason},
                    )
                )
    return problems


def _reason_against(name: str, datasets: Path) -> str | None:
    try:
        path = control_image_path(name, datasets)
        if not path.is_file():
            return f"there is no file {path}"
        width_px, height_px = upright_size(path)
    except JobRefused:
        return "it leads out of the datasets folder"
    except UnreadablePicture as error:
        return str(error)
    except OSError as error:  # a name that is too long for a file
        return error.strerror or str(error)
    return reference_fault(width_px, height_px) or None
