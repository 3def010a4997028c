"""The short trainings whose losses are recorded in recorded_losses.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.trainer.short_runs import job_with

RECORDS = Path(__file__).with_name("recorded_losses.json")
DATASET = "tiny-hatch"

PLAIN = job_with(
    {
        "training.steps": 8,
        "training.batch_size": 2,
        "target.linear_rank": 8,
        "datasets.0.target_dataset": DATASET,
        "datasets.0.resolutions": [64],
    }
)
RECORDED_JOBS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "float8, preserved and guided": job_with(
        {
            "quantization.transformer": "float8",
            "training.steps": 6,
            "training.timestep_type": "shift",
            "regularization.differential_output_preservation": True,
            "regularization.preservation_class": "picture",
            "advanced.do_differential_guidance": True,
            "datasets.0.caption_dropout_rate": 0.2,
        },
        base=PLAIN,
    ),
}
