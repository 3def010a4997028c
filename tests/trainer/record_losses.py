"""Write recorded_losses.json anew: `python -m tests.trainer.record_losses`.

Run it when the bundled model or the objective has changed on purpose, and say why in the commit.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.trainer.recorded_runs import RECORDED_JOBS, RECORDS
from tests.trainer.short_runs import run_here
from trainer.fingerprints import part_fingerprint
from trainer.folders import PROJECT_FOLDER, Folders
from trainer.variants import BUNDLED_TINY_FOLDER


def record(folders: Folders, parent: Path) -> dict[str, Any]:
    """The losses of all recorded jobs: {name: [[step, loss, objective, preservation], ...]}."""
    runs: dict[str, list[list[float | None]]] = {}
    for number, (name, job) in enumerate(RECORDED_JOBS.items()):
        run = run_here(job, folders, parent / str(number))
        assert run.exit_code == 0, run.events[-1]
        runs[name] = [[step, *values] for step, values in run.losses.items()]
    return {"model": part_fingerprint(BUNDLED_TINY_FOLDER / "transformer"), "runs": runs}


def main() -> None:
    """Record and write."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folders = Folders(PROJECT_FOLDER / "datasets", root / "models", root / "cache")
        records = record(folders, root / "output")
    RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {RECORDS}")


if __name__ == "__main__":
    main()
