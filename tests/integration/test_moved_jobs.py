"""A training that moves to another machine is the training that stayed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from backend.bundles.contents import collect
from backend.bundles.importing import import_bundle
from backend.bundles.writing import write_bundle
from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.jobs.queries import read_job
from backend.rescan.rescan import rescan
from backend.settings import Settings
from tests.backend.installation import make_dataset, settings_in
from tests.trainer.short_runs import job_with, make_squares, run_here
from trainer.events import RunBegins, Warned
from trainer.job_folder import LORA_FILE


def installed(folder: Path, cache: Path) -> tuple[Settings, Database]:
    folder.mkdir()
    settings = settings_in(folder, cache_dir=cache)
    migrate(settings)
    return settings, Database(settings.database_url)


@pytest.mark.long
def test_a_moved_training_is_the_one_that_stayed(tmp_path: Path) -> None:
    """Two of four steps here, two there, where another dataset has the name: not a bit changes."""
    here, database = installed(tmp_path / "here", tmp_path / "cache")
    make_squares(here.datasets_dir)
    job = job_with(
        {
            "training.steps": 4,
            "save.save_every": 2,
            "datasets.0.flip_x": True,
            "datasets.0.caption_dropout_rate": 0.3,
        }
    )
    stayed = run_here(job, here.folders, here.output_dir)
    assert stayed.exit_code == 0
    assert rescan(database, here).brought_back == ["short"]
    bundle = io.BytesIO()
    write_bundle(collect(database, here, 1, step=2), bundle)
    database.close()

    there, database = installed(tmp_path / "there", tmp_path / "cache")
    make_dataset(there.datasets_dir / "squares")
    bundle.seek(0)
    report = import_bundle(database, there, bundle)
    assert report.datasets[0].becomes == "squares-2"
    with database.read() as session:
        config = read_job(session, there, report.job_id).config
    database.close()

    moved = run_here(config, there.folders, there.output_dir)
    assert moved.exit_code == 0
    assert moved.of_type(RunBegins)[0].resumed_from_step == 2
    assert "dataset_changed" not in [warned.code for warned in moved.of_type(Warned)]
    assert moved.losses == {step: stayed.losses[step] for step in (3, 4)}
    for step in (2, 4):
        loras = [load_file(run.folder.checkpoint(step) / LORA_FILE) for run in (stayed, moved)]
        assert loras[0].keys() == loras[1].keys()
        assert all((loras[0][name] == loras[1][name]).all() for name in loras[0])
