"""A config with names in the places that are still blank, for questions to which names do not
matter: what a job takes of the machine, what its datasets hold.
"""

from __future__ import annotations

from typing import Any

UNNAMED = "unnamed"
NO_FOLDER = "-"  # no dataset of this name, so nothing is read


def with_blanks_filled(config: dict[str, Any]) -> dict[str, Any]:
    """The same with a Training Name and, for each dataset, a Target Dataset where there is none."""
    job, datasets = config.get("job"), config.get("datasets")
    filled = dict(config)
    if isinstance(job, dict) and not job.get("training_name"):
        filled["job"] = {**job, "training_name": UNNAMED}
    if isinstance(datasets, list):
        filled["datasets"] = [
            {**entry, "target_dataset": NO_FOLDER}
            if isinstance(entry, dict) and not entry.get("target_dataset")
            else entry
            for entry in datasets
        ]
    return filled
