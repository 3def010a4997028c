"""Where a job's model lies: the bundled tiny one, or a folder in Diffusers layout."""

from __future__ import annotations

from pathlib import Path

from trainer.config import JobConfig
from trainer.folders import Folders
from trainer.variants import BUNDLED_TINY_FOLDER, Architecture


def model_folder(job: JobConfig, folders: Folders) -> Path:
    """The folder that holds the job's model_index.json; it need not exist.

    A blank Name or Path stands for the bundled model, which only the tiny architecture has:
    job_rules.py refuses the others before this is asked.
    """
    name = job.model.name_or_path
    if not name:
        assert job.model.model_architecture == Architecture.TINY, "a blank model passed the door"
        return BUNDLED_TINY_FOLDER
    # An absolute path wins over the folder it is joined to, which is what the field promises.
    return folders.models / Path(name).expanduser()
