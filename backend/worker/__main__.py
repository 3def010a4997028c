"""`python -m backend.worker`: the queue worker as a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.errors import BadSettings
from backend.launchers.local import LocalLauncher
from backend.settings import Settings, read_settings
from backend.worker.ending import Ending
from backend.worker.loop import Worker


def main() -> int:
    """Work until SIGTERM or SIGINT; 2 if the settings cannot work."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        settings = read_settings()
        migrate(settings)
    except BadSettings as error:
        sys.stderr.write(f"{error}\n")
        return 2
    work(settings, until_stdin_closes="--until-stdin-closes" in sys.argv[1:])
    return 0


def work(settings: Settings, *, until_stdin_closes: bool = False) -> None:
    """Take turns until this process is told to end, or who started it is gone."""
    ending = Ending()
    if until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_stdin, args=(ending,), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    database = Database(settings.database_url)
    try:
        Worker(settings, database, LocalLauncher()).run(ending)
    finally:
        database.close()


def _wait_for_end_of_stdin(ending: Ending) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        continue
    ending.set()


if __name__ == "__main__":
    sys.exit(main())
