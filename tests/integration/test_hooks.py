"""A worker with hooks, ended and started again while the receiver is away."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

from sqlalchemy import func, select

from backend.db.engine import Database
from backend.db.models import HookDelivery
from backend.jobs.status import JobStatus
from backend.settings import Settings
from tests.backend.hooks.receiver import receiver
from tests.integration.processes import add_job, end, eventually, until_status, worker


def test_over_a_restart_no_note_is_lost_and_none_is_told_twice(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    events = "finished,failed,checkpoint,sample"
    with receiver() as server:
        server.answers = [503] * 4  # away while the first worker lives, at the most
        hooks = {"hook_url": server.address, "hook_events": events, "hook_retry_seconds": 0.5}
        with worker(tmp_path, **hooks) as first:
            job_id = add_job(database, settings)
            until_status(database, job_id, JobStatus.COMPLETED)
            end(first, signal.SIGTERM)
        with worker(tmp_path, **hooks):
            failing = add_job(database, settings, "fail", "fail")
            until_status(database, failing, JobStatus.FAILED)

            def is_all_told() -> bool:
                waiting = select(func.count()).where(HookDelivery.settled_at.is_(None))
                with database.read() as session:
                    return session.scalar(waiting) == 0

            eventually(is_all_told, "every note has arrived")
        bodies = [json.loads(body) for _, body in server.received]
    told = Counter(body["id"] for body in bodies)
    kinds = Counter(body["event"] for body in {body["id"]: body for body in bodies}.values())
    # Of `ok`: samples at 0, 5 and 10 of two prompts, checkpoints at 5 and 10. Of `fail`: the base.
    assert kinds == {"sample": 8, "checkpoint": 2, "finished": 1, "failed": 1}
    assert sum(told.values()) - len(told) == 4 - len(server.answers), "only what was refused"
    failed = next(body for body in bodies if body["event"] == "failed")
    assert failed["job"]["error"]["code"] == "out_of_memory"
