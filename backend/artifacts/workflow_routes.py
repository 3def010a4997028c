"""Workflows for ComfyUI over HTTP: one for each LoRA file of a job."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Path, Response

from backend.artifacts import queries
from backend.artifacts.lora_download import download_name
from backend.db.models import Job
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import Conflict, error_responses
from backend.jobs.queries import parsed
from trainer.comfyui_workflow import (
    NoWorkflow,
    comfyui_workflow,
    refuse_unknown_model,
    workflow_name,
)

router = APIRouter(tags=["artifacts"], prefix="/jobs/{job_id}")

Id = Annotated[int, Path(ge=1, le=2**63 - 1, examples=[1])]
_JSON = {200: {"content": {"application/json": {}}, "description": "The workflow."}}


@router.get(
    "/checkpoints/{checkpoint_id}/workflow",
    response_class=Response,
    responses=error_responses(404, 409, 422) | _JSON,
)
def read_workflow(
    job_id: Id, checkpoint_id: Id, database: DatabaseOf, settings: SettingsOf
) -> Response:
    """A graph that draws the job's first prompt with this LoRA, to be dropped into ComfyUI.

    It loads the file that the download with `format=comfyui` gives, by that file's name.
    """
    with database.read() as session:
        path, name = queries.checkpoint_file(session, settings, job_id, checkpoint_id)
        job = parsed(session.get_one(Job, job_id).config)
    try:
        if job is None:
            raise NoWorkflow("The job's settings are those of another version.")
        refuse_unknown_model(job)
        # The file that ComfyUI's users are told to take; a LoKr has no other names than its own.
        key_format = None if job.target.target_type == "lokr" else "comfyui"
        lora_name = download_name(path, name, key_format)
        workflow = comfyui_workflow(job, lora_name=lora_name, datasets=settings.datasets_dir)
    except NoWorkflow as error:
        raise Conflict(
            "no_workflow", str(error), "Download the LoRA and load it by hand."
        ) from error
    return Response(
        json.dumps(workflow, indent=1, ensure_ascii=False),
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{workflow_name(lora_name)}"'},
    )
