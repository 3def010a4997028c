"""What a test installs: settings, a dataset, a job's config."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from PIL import Image

from backend.settings import Settings

STAND_IN = Path(__file__).parents[1] / "stand_in_trainer.py"
NUM_PICTURES = 2


def environment_in(folder: Path, **more: Any) -> dict[str, str]:
    """DARKROOM_* for an installation in `folder` whose trainer is the stand-in."""
    values = {
        "database_url": f"sqlite:///{folder / 'darkroom.db'}",
        "datasets_dir": folder / "datasets",
        "output_dir": folder / "output",
        "cache_dir": folder / "cache",
        "models_dir": folder / "models",
        "pages_dir": folder / "pages",
        "trainer_command": f"{sys.executable} {STAND_IN}",
        "worker_poll_seconds": 0.02,
        "stop_patience_seconds": 60,
        "kill_patience_seconds": 15,
        "port": 0,
    } | more
    return {f"DARKROOM_{name.upper()}": str(value) for name, value in values.items()}


def settings_in(folder: Path, **more: Any) -> Settings:
    """The same as settings of this process."""
    values = {
        name.removeprefix("DARKROOM_").lower(): value
        for name, value in environment_in(folder, **more).items()
    }
    return Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue, reportArgumentType]


def make_dataset(folder: Path) -> None:
    """Some small pictures with captions."""
    folder.mkdir(parents=True)
    for number in range(NUM_PICTURES):
        Image.new("RGB", (64, 64), (40 * number, 80, 120)).save(folder / f"picture-{number}.png")
        (folder / f"picture-{number}.txt").write_text(f"[trigger] square {number}")


def job_config(
    name: str = "style", behaviour: str = "ok", **panels: dict[str, Any]
) -> dict[str, Any]:
    """A complete job on the tiny model; `behaviour` is what the stand-in trainer does."""
    config: dict[str, Any] = {
        "job": {"training_name": name, "trigger_word": behaviour, "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "training": {"steps": 10},
        "save": {"save_every": 5},
        "datasets": [{"target_dataset": "shapes", "resolutions": [64]}],
        "sample": {"prompts": [{"prompt": "[trigger] a circle"}, {"prompt": "a square"}]},
    }
    for panel, values in panels.items():
        config[panel] = config.get(panel, {}) | values
    return config
