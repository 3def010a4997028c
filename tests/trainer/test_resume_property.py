"""Resume at any step is the uninterrupted run: the trainer's own parts on a mini transformer.

Batches, steps, optimizer, average, checkpoint files and their restoring are the real ones; only the
transformer is a thousandth of the tiny model's size and the latents and prompts are random numbers,
so that a run with several cuts takes a fraction of a second.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.mini_transformer import JOINT_DIM, mini_transformer
from tests.trainer.short_runs import job_with
from trainer.batches import BatchSource
from trainer.buckets import Bucket
from trainer.checkpoint import open_checkpoint, save_checkpoint
from trainer.job_file import parse_job
from trainer.trainee import Trainee, load_trainee
from trainer.training_items import TrainingItem
from trainer.training_step import StepResult

STEPS = 6
JOB = parse_job(
    job_with(
        {
            "training.steps": STEPS,
            "training.batch_size": 2,
            "training.gradient_accumulation": 2,
            "training.lr_schedule": "cosine",
            "training.warmup_steps": 2,
            "training.use_ema": True,
            "training.ema_decay": 0.8,
            "target.dropout": 0.2,
            "regularization.differential_output_preservation": True,
            "regularization.every_n_steps": 2,
            "advanced.do_differential_guidance": True,
        }
    )
)
ITEMS = [
    TrainingItem(
        path=Path(f"{number}.png"),
        bucket=Bucket(64, 48 if number == 4 else 32, 64),
        caption=f"zorvex {number}",
        class_caption=f"photo {number}",
        caption_dropout_rate=0.3,
        cache_latents=True,
        flips=("", "x"),
    )
    for number in range(5)
]


class RandomTensors:
    """What `EncodedRun` gives, drawn by what is asked for."""

    def latents(self, item: TrainingItem, flip: str = "") -> torch.Tensor:
        width_px, height_px = item.bucket.size
        latents = self._draw(item.name, 128, height_px // 16, width_px // 16)
        return latents.flip(2) if flip else latents

    def references(self, item: TrainingItem, flip: str = "") -> list[torch.Tensor]:
        return []

    def mask(self, item: TrainingItem, flip: str = "") -> None:
        return None

    def prompt(self, text: str) -> torch.Tensor:
        return self._draw(text, 3, JOINT_DIM)

    def _draw(self, name: str, *shape: int) -> torch.Tensor:
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "little")
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini transformer as a folder."""
    folder = tmp_path_factory.mktemp("model")
    mini_transformer(torch.float32).save_pretrained(folder)
    return folder


def fresh(model: Path) -> Trainee:
    return load_trainee(JOB, model, device="cpu", progress=lambda *_: None)


def train(trainee: Trainee, until: int) -> list[StepResult]:
    batches = BatchSource(ITEMS, RandomTensors(), batch_size=2, gradient_accumulation=2, seed=42)
    return [trainee.take_step(batches) for _ in range(until - trainee.step)]


@pytest.fixture(scope="module")
def uninterrupted(model: Path) -> tuple[list[StepResult], Trainee]:
    """The results of all steps, and what they ended in."""
    trainee = fresh(model)
    return train(trainee, STEPS), trainee


@settings(max_examples=8, deadline=None)
@given(cuts=st.sets(st.integers(1, STEPS - 1), min_size=1, max_size=3))
def test_cut_anywhere_and_however_often_a_run_is_the_uninterrupted_one(
    model: Path, uninterrupted: tuple[list[StepResult], Trainee], cuts: set[int]
) -> None:
    expected, whole = uninterrupted
    trainee, results = fresh(model), []
    with tempfile.TemporaryDirectory() as folder:
        for cut in sorted(cuts):
            results += train(trainee, cut)
            path = Path(folder) / str(cut)
            save_checkpoint(
                path,
                trainee.state(),
                job=JOB,
                base_model="",
                dtype=torch.float32,
                versions={},
                dataset={},
            )
            trainee = fresh(model)
            assert trainee.restore(open_checkpoint(path))
        results += train(trainee, STEPS)
    assert results == expected
    assert trainee.average is not None
    assert whole.average is not None
    for name, parameter in whole.lora.parameters.items():
        assert torch.equal(trainee.lora.parameters[name], parameter), name
        assert torch.equal(trainee.average[name], whole.average[name]), name
    ours, theirs = trainee.state().optimizer, whole.state().optimizer
    assert ours.numbers == theirs.numbers
    assert all(torch.equal(ours.tensors[name], t) for name, t in theirs.tensors.items())
