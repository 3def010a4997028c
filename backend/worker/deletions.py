"""Jobs that were asked to be deleted while they ran: removed once they have ended."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from backend.db.engine import Database
from backend.errors import Conflict
from backend.settings import Settings
from backend.trash.deletion import delete_as_asked, jobs_to_delete
from backend.trash.settling import settle_deletions

log = logging.getLogger(__name__)

TROUBLE_SECONDS = 5.0  # until a deletion that failed is tried again


class Deletions:
    """Carries out the requests of one database; `clock` is monotonic, in seconds."""

    def __init__(
        self, database: Database, settings: Settings, *, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._again_at: dict[int, float] = {}
        self._told: dict[int, str] = {}

    def carry_out(self) -> None:
        """Delete what there is to delete; what cannot be moved just now is tried again."""
        with self._database.read() as session:
            waiting = jobs_to_delete(session)
        for job_id in waiting:
            if self._clock() < self._again_at.get(job_id, 0.0):
                continue
            try:
                settle_deletions(self._database, self._settings)  # of a worker that was killed
                if delete_as_asked(self._database, self._settings, job_id):
                    log.info("job %d has ended and was deleted, as was asked", job_id)
            except OperationalError:
                raise
            except Exception as trouble:  # one job's must not keep the others from the queue
                self._tell_once(job_id, trouble)
                self._again_at[job_id] = self._clock() + TROUBLE_SECONDS

    def _tell_once(self, job_id: int, trouble: Exception) -> None:
        if self._told.get(job_id) == str(trouble):
            return
        self._told[job_id] = str(trouble)
        is_ours = not isinstance(trouble, Conflict | OSError)
        log.warning("job %d cannot be deleted just now: %s", job_id, trouble, exc_info=is_ours)
