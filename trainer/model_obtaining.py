"""The model a run needs, downloaded first if it is not on this machine."""

from __future__ import annotations

from collections.abc import Callable

from trainer.config import JobConfig
from trainer.errors import BadModel
from trainer.folders import Folders
from trainer.hub import HubAccess, HubRepository, download
from trainer.model_check import is_whole
from trainer.model_parts import ModelParts, model_source, parts_from
from trainer.panels.model import ModelPanel
from trainer.run_record import RunRecord


def obtain_model(job: JobConfig, folders: Folders, record: RunRecord) -> ModelParts:
    """Where the model's parts lie, after a download as a phase of the run if one is needed.

    Raises BadModel, DiskFull, StopRequested.
    """
    return obtain_parts(
        job.model,
        folders,
        begin_download=lambda name: record.phase("download", name),
        progress=lambda done, total, name: record.progress(done, total, f"MB, {name}"),
        stop_requested=record.poll,
    )


def obtain_parts(
    panel: ModelPanel,
    folders: Folders,
    *,
    begin_download: Callable[[str], None],
    progress: Callable[[int, int, str], None],
    stop_requested: Callable[[], bool],
) -> ModelParts:
    """Where the parts lie. begin_download: takes the repository, if there is anything to download.

    progress: takes megabytes done, megabytes in all and the file, once for each that changes.
    Raises BadModel, DiskFull, StopRequested.
    """
    source = model_source(panel, folders)
    if isinstance(source.base, HubRepository) and not is_whole(source):
        begin_download(str(source.base))
        last = (-1, "")

        def progress_once(done: int, total: int, name: str) -> None:
            nonlocal last
            if (done, name) != last:
                last = (done, name)
                progress(done, total, name)

        download(
            source.base,
            source.needed,
            access=HubAccess.from_environment(),
            progress=progress_once,
            stop_requested=stop_requested,
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
