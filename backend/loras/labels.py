"""What a LoRA file is called where people look at pictures: by its path, without opening it."""

from __future__ import annotations

import re
from pathlib import Path

from backend.settings import Settings
from trainer.folders import expanded
from trainer.hub_lora import PREFIX as HUB
from trainer.job_folder import LORA_FILE, JobFolder

_STEP_FOLDER = re.compile(r"^step-(\d{6,})$")


def lora_label(name: str, settings: Settings) -> str:
    """`style, step 250` for a checkpoint of one of our jobs, `style` for its end result, else the
    file's name; of the hub's with its repository, for there many files are called the same.

    name: as a drawing has it: an absolute path, one in the models folder, or a name on the hub.
    """
    if name.startswith(HUB):
        return name.removeprefix(HUB).removesuffix(".safetensors")
    path = expanded(name)
    own = _of_a_job(path, settings.output_dir)
    if own is None:
        return path.stem or name
    training_name, step = own
    return training_name if step is None else f"{training_name}, step {step}"


def _of_a_job(path: Path, output: Path) -> tuple[str, int | None] | None:
    """The training and the step of the file; no step for the end result."""
    try:
        training_name, *inner = path.relative_to(output).parts
    except ValueError:
        return None
    folder = JobFolder(output, training_name)
    if path == folder.result:
        return training_name, None
    if len(inner) == 3 and inner[0] == folder.checkpoints.name and inner[2] == LORA_FILE:
        match = _STEP_FOLDER.match(inner[1])
        return (training_name, int(match[1])) if match else None
    return None
