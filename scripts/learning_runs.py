"""The trainings that the learning report compares: the example job with a setting or two changed.

A question is a table of the report: its runs differ in what is asked and in nothing else. The same
training may answer several questions and is trained once for each seed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from steps import ROOT
from trainer.config import JobConfig
from trainer.job_file import read_job_file
from trainer.variants import BUNDLED_TINY_FOLDER

EXAMPLE = ROOT / "examples" / "tiny-style.yaml"
CHECKPOINT_STEPS = (100, 200, 300)
SEEDS = (0, 1, 2)

# Every run has these, so that only what is asked differs, and no time goes into pictures that the
# report draws anyhow.
_SAME_FOR_ALL: dict[str, dict[str, Any]] = {
    "training": {"steps": CHECKPOINT_STEPS[-1]},
    "save": {"save_every": CHECKPOINT_STEPS[0], "max_step_saves_to_keep": len(CHECKPOINT_STEPS)},
    "regularization": {"differential_output_preservation": False},
    "sample": {"sample_every": None, "first_sample_at_step_0": False, "prompts": []},
}


@dataclass(frozen=True)
class Run:
    """One training but for its seed: a name for the table and what differs from the example."""

    name: str
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def job(self, seed: int) -> JobConfig:
        """The whole job with this seed."""
        values = read_job_file(EXAMPLE).model_dump(mode="json")
        for changes in (_SAME_FOR_ALL, self.changes):
            for panel, settings in changes.items():
                values[panel] |= settings
        values["job"] |= {"training_name": "learning", "seed": seed}
        return JobConfig.model_validate(values)

    def key(self, seed: int) -> str:
        """What the result depends on: the job and the bundled model. 16 hexadecimal digits.

        Of the job, what differs from the defaults: a setting that is added, and does nothing unless
        it is set, changes no result.
        """
        digest = hashlib.sha256(self.job(seed).model_dump_json(exclude_defaults=True).encode())
        digest.update(_model_digest())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Question:
    """A table: what is asked, and the runs that answer it."""

    slug: str
    title: str
    runs: tuple[Run, ...]


def _plain(name: str, **settings: dict[str, Any]) -> Run:
    return Run(name, settings)


def _preserving(name: str, multiplier: float = 1.0, **settings: dict[str, Any]) -> Run:
    preservation = {"differential_output_preservation": True, "multiplier": multiplier}
    return Run(name, settings | {"regularization": preservation})


_GUIDANCE = {"do_differential_guidance": True, "scale": 3.0}

QUESTIONS = (
    Question(
        "learning-rate",
        "Learning rate, without preservation",
        (
            _plain("1e-4", training={"learning_rate": 1e-4}),
            _plain("5e-4", training={"learning_rate": 5e-4}),
            _plain("1e-3", training={"learning_rate": 1e-3}),
            _plain("2e-3"),
        ),
    ),
    Question(
        "rank",
        "Rank, without preservation",
        (
            _plain("rank 4", target={"linear_rank": 4}),
            _plain("rank 16"),
            _plain("rank 32", target={"linear_rank": 32}),
        ),
    ),
    Question(
        "preservation",
        "Differential Output Preservation",
        (
            _plain("off"),
            _preserving("multiplier 0.3", 0.3),
            _preserving("multiplier 1"),
        ),
    ),
    Question(
        "rank-preserving",
        "Rank, with preservation",
        (
            _preserving("rank 4", target={"linear_rank": 4}),
            _preserving("rank 16"),
            _preserving("rank 32", target={"linear_rank": 32}),
        ),
    ),
    Question(
        "guidance",
        "Differential guidance",
        (
            _plain("off"),
            _plain("scale 3", advanced=_GUIDANCE),
            _preserving("off, with preservation"),
            _preserving("scale 3, with preservation", advanced=_GUIDANCE),
        ),
    ),
    Question(
        "quantization",
        "Quantization, with preservation",
        (
            _preserving("none"),
            _preserving("float8", quantization={"transformer": "float8"}),
            _preserving("int8", quantization={"transformer": "int8"}),
            _preserving("NF4", quantization={"transformer": "nf4"}),
            _preserving("int4", quantization={"transformer": "int4"}),
        ),
    ),
)


@cache
def _model_digest() -> bytes:
    digest = hashlib.sha256()
    for file in sorted(BUNDLED_TINY_FOLDER.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.digest()
