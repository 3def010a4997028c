"""Alarms written down: with the run, in the feed, and to hooks.

An alarm is a warning of the run with `active` in its params; when it is over, it stays in the run's
record with the moment, and is shown as a warning no more. One entry a kind: an alarm that comes
again takes the place of the one before, and counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.models import Job, Run
from backend.hooks.outbox import note
from backend.jobs.feed import announce, announce_job
from backend.settings import Settings
from backend.worker.alarms import ALARM_CODES, Change

log = logging.getLogger(__name__)


def active_alarms(run: Run) -> set[str]:
    """Codes of the alarms that the run's record says are not over."""
    return {
        problem["code"]
        for problem in run.problems
        if problem["code"] in ALARM_CODES and problem["params"].get("active")
    }


def write_changes(
    session: Session, settings: Settings, job: Job, run: Run, changes: Iterable[Change]
) -> None:
    """Bring the run's record up to date, and tell pages and hooks."""
    for change in changes:
        before = next((p for p in run.problems if p["code"] == change.code), None)
        others = [p for p in run.problems if p is not before]
        if change.problem is not None:
            entry = change.problem.as_dict()
            times = 1 + (before["params"].get("times", 0) if before else 0)
            moment = {"active": True, "times": times, "began_at": now().isoformat()}
            entry["params"] = {**entry["params"], **moment}
            log.warning("job %d (%s): %s", job.id, job.training_name, change.problem)
        elif before is not None:
            ended = {"active": False, "ended_at": now().isoformat()}
            entry = {**before, "params": {**before["params"], **ended}}
        else:
            continue
        run.problems = [*others, entry]
        data = {"job_id": job.id, "run": run.number, **entry, "active": change.problem is not None}
        announce(session, "alarm", job.id, data)
        announce_job(session, job.id)
        if change.code in ("no_progress", "waiting_for_space") and change.problem is not None:
            said = {key: entry[key] for key in ("code", "message", "hint")}
            note(session, settings, "stalled", job, phase=run.phase, problem=said)
