"""The trainee over several steps and through a checkpoint, on a transformer of two small blocks."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.mini_transformer import JOINT_DIM, mini_transformer
from tests.trainer.short_runs import job_with
from trainer.batches import BatchSource
from trainer.buckets import Bucket
from trainer.checkpoint import LORA_FILE, open_checkpoint, save_checkpoint
from trainer.ema import start_average
from trainer.errors import NonFinite
from trainer.job_file import parse_job
from trainer.lora import add_lora
from trainer.optim import OptimizerName, make_optimizer
from trainer.pictures import Flip
from trainer.trainee import Trainee
from trainer.training_items import TrainingItem

RATES: dict[OptimizerName, float] = {
    "adamw8bit": 0.003,
    "adamw": 0.003,
    "adafactor": 0.003,
    "prodigy": 1.0,
    "lion8bit": 0.001,
}


class Encoded:
    """Latents and embeddings drawn by name, as an encoder would give them."""

    def __init__(self) -> None:
        self.broken = False

    def latents(self, item: TrainingItem, flip: Flip = "") -> torch.Tensor:
        latents = self._draw(item.name + flip, 128, 2, 3)
        return latents * float("nan") if self.broken else latents

    def references(self, item: TrainingItem, flip: Flip = "") -> list[torch.Tensor]:
        return []

    def mask(self, item: TrainingItem, flip: Flip = "") -> torch.Tensor | None:
        return None

    def prompt(self, text: str) -> torch.Tensor:
        return self._draw(text, 4, JOINT_DIM)

    def _draw(self, name: str, *shape: int) -> torch.Tensor:
        return torch.randn(
            *shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))
        )


def trainee_of(changes: dict[str, Any]) -> Trainee:
    job = parse_job(job_with({"training.steps": 100, "target.linear_rank": 64, **changes}))
    transformer = mini_transformer(torch.float32)
    lora = add_lora(transformer, rank=job.target.linear_rank, alpha=32.0, seed=1)
    training = job.training
    return Trainee(
        job=job,
        transformer=transformer,
        lora=lora,
        optimizer=make_optimizer(
            training.optimizer,
            lora.parameters,
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
        ),
        average=start_average(lora.parameters) if training.use_ema else None,
    )


def source_of(encoded: Encoded) -> BatchSource:
    items = [
        TrainingItem(
            path=Path(f"{name}.png"),
            bucket=Bucket(48, 32, 32),
            caption=f"zorvex {name}",
            class_caption=f"photo {name}",
            caption_dropout_rate=0.3,
            cache_latents=True,
        )
        for name in ("a", "b", "c")
    ]
    return BatchSource(items, encoded, batch_size=1, gradient_accumulation=2, seed=42)


def save(trainee: Trainee, path: Path) -> None:
    save_checkpoint(
        path,
        trainee.state(),
        job=trainee.job,
        base_model="mini",
        dtype=torch.float32,
        versions={},
        dataset={},
    )


@pytest.mark.parametrize("optimizer", get_args(OptimizerName))
def test_a_checkpoint_goes_on_bit_for_bit_with_every_optimizer(
    optimizer: OptimizerName, tmp_path: Path
) -> None:
    changes = {
        "training.optimizer": optimizer,
        "training.learning_rate": RATES[optimizer],
        "training.lr_schedule": "cosine",
        "training.warmup_steps": 2,
        "training.weight_decay": 0.01,
        "training.gradient_accumulation": 2,
        "training.use_ema": True,
        "regularization.differential_output_preservation": True,
        "regularization.every_n_steps": 2,
        "advanced.do_differential_guidance": True,
    }
    batches = source_of(Encoded())
    whole = trainee_of(changes)
    before = {name: p.detach().clone() for name, p in whole.lora.parameters.items()}
    expected = [(whole.learning_rate, whole.take_step(batches)) for _ in range(6)]

    first = trainee_of(changes)
    found = [(first.learning_rate, first.take_step(batches)) for _ in range(3)]
    save(first, tmp_path / "checkpoint")
    second = trainee_of(changes)
    assert second.restore(open_checkpoint(tmp_path / "checkpoint"))
    found += [(second.learning_rate, second.take_step(batches)) for _ in range(3)]

    assert found == expected
    assert [r.preservation_loss is not None for _, r in found][1::2] == [False] * 3
    assert whole.average is not None
    assert second.average is not None
    for name, parameter in whole.lora.parameters.items():
        assert torch.equal(second.lora.parameters[name], parameter), name
        assert torch.equal(second.average[name], whole.average[name]), name
        assert not torch.equal(before[name], parameter), f"{name} has not moved"
    then, now = whole.state().optimizer, second.state().optimizer
    assert then.numbers == now.numbers
    assert all(torch.equal(tensor, now.tensors[key]) for key, tensor in then.tensors.items())


def test_another_optimizer_starts_afresh_from_the_same_weights(tmp_path: Path) -> None:
    batches = source_of(Encoded())
    first = trainee_of({"training.optimizer": "prodigy", "training.learning_rate": 1.0})
    first.take_step(batches)
    save(first, tmp_path / "checkpoint")
    second = trainee_of({"training.optimizer": "adafactor"})
    assert not second.restore(open_checkpoint(tmp_path / "checkpoint"))
    assert second.step == 1
    assert second.learning_rate == second.job.training.learning_rate
    assert not second.optimizer.state
    for name, parameter in first.lora.parameters.items():
        assert torch.equal(second.lora.parameters[name], parameter)


def test_samples_and_saves_use_the_average_and_training_goes_on_without_it(tmp_path: Path) -> None:
    trainee = trainee_of({"training.use_ema": True, "training.ema_decay": 0.5})
    batches, weights = source_of(Encoded()), []
    average = {name: p.detach().clone() for name, p in trainee.lora.parameters.items()}
    for _ in range(3):
        trainee.take_step(batches)
        weights.append({name: p.detach().clone() for name, p in trainee.lora.parameters.items()})
        average = {name: (value + weights[-1][name]) / 2 for name, value in average.items()}
    with trainee.ready_to_draw(base_model=False):
        for name, parameter in trainee.lora.parameters.items():
            assert torch.allclose(parameter, average[name], rtol=1e-5, atol=1e-9)
    for name, parameter in trainee.lora.parameters.items():
        assert torch.equal(parameter, weights[-1][name])

    save(trainee, tmp_path / "checkpoint")
    stored = load_file(tmp_path / "checkpoint" / LORA_FILE)
    name = next(name for name in average if "lora_A" in name)
    assert torch.allclose(stored[f"transformer.{name}"], average[name], rtol=1e-5, atol=1e-9)


def test_steps_that_are_no_numbers_change_nothing_and_one_good_step_forgives_them() -> None:
    trainee = trainee_of(
        {"training.use_ema": True, "advanced.stop_when_a_non_finite_loss_repeats": 3}
    )
    encoded = Encoded()
    batches = source_of(encoded)
    assert trainee.take_step(batches).is_finite
    before = trainee.state()
    weights = {name: p.detach().clone() for name, p in trainee.lora.parameters.items()}
    average = {name: value.clone() for name, value in (trainee.average or {}).items()}
    moments = {key: value.clone() for key, value in before.optimizer.tensors.items()}

    encoded.broken = True
    for count in (1, 2):
        assert not trainee.take_step(batches).is_finite
        assert trainee.num_skipped_in_a_row == count
    after = trainee.state()
    assert all(torch.equal(after.lora[name], value) for name, value in weights.items())
    assert all(torch.equal((after.average or {})[name], value) for name, value in average.items())
    assert all(torch.equal(after.optimizer.tensors[key], value) for key, value in moments.items())

    encoded.broken = False
    assert trainee.take_step(batches).is_finite
    assert trainee.num_skipped_in_a_row == 0
    encoded.broken = True
    trainee.take_step(batches)
    trainee.take_step(batches)
    with pytest.raises(NonFinite, match="step 7; steps skipped in a row: 3"):
        trainee.take_step(batches)
