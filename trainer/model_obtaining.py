"""The model a run needs, downloaded first if it is not on this machine."""

from __future__ import annotations

from trainer.config import JobConfig
from trainer.errors import BadModel
from trainer.folders import Folders
from trainer.hub import HubAccess, HubRepository, download
from trainer.model_check import is_whole
from trainer.model_parts import ModelParts, model_source, parts_from
from trainer.run_record import RunRecord


def obtain_model(job: JobConfig, folders: Folders, record: RunRecord) -> ModelParts:
    """Where the model's parts lie, after a download if they have to come from the hub.

    Raises BadModel, DiskFull, StopRequested.
    """
    source = model_source(job.model, folders)
    if isinstance(source.base, HubRepository) and not is_whole(source):
        record.phase("download", str(source.base))
        last = (-1, "")

        def progress(done: int, total: int, name: str) -> None:
            nonlocal last
            if (done, name) != last:
                last = (done, name)
                record.progress(done, total, f"MB, {name}")

        download(
            source.base,
            source.needed,
            access=HubAccess.from_environment(),
            progress=progress,
            stop_requested=record.poll,
        )
        if not is_whole(source):
            raise BadModel(
                f"{source.base} on the hub lacks parts that the job needs: "
                f"{', '.join(source.needed)}.",
                "It is no whole model in Diffusers layout: choose another.",
                code="model_incomplete",
                field="model.name_or_path",
            )
    return parts_from(source, source.base_folder)
