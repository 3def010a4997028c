"""Several pictures or prompts in a pass: the same tensors, whatever else was missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.trainer.tiny_plans import tiny_plan
from trainer.caching import Slot, content_key
from trainer.encoding_child import encode
from trainer.encoding_passes import (
    filled_up,
    picture_passes,
    pictures_per_pass,
    prompts_per_pass,
)
from trainer.encoding_plan import PictureTask, PromptTask


@dataclass(frozen=True)
class Task:
    size: tuple[int, int]
    per_pass: int
    number: int


@given(st.lists(st.tuples(st.sampled_from([(64, 64), (96, 64)]), st.integers(1, 3)), max_size=20))
def test_each_task_is_in_one_pass_with_others_of_its_size(
    kinds: list[tuple[tuple[int, int], int]],
) -> None:
    tasks = [Task(size, per_pass, number) for number, (size, per_pass) in enumerate(kinds)]
    passes = list(picture_passes(tasks))
    assert sorted(task.number for tasks in passes for task in tasks) == list(range(len(tasks)))
    for together in passes:
        assert len({(task.size, task.per_pass) for task in together}) == 1
        assert 1 <= len(together) <= together[0].per_pass
        assert len(filled_up(together, together[0].per_pass)) == together[0].per_pass


def test_auto_is_one_on_a_cpu_and_a_megapixel_on_a_gpu() -> None:
    assert pictures_per_pass(None, (512, 512), device="cpu") == 1
    assert [
        pictures_per_pass(None, (side, side), device="cuda") for side in (2048, 1024, 512, 64)
    ] == [1, 1, 4, 64]
    assert pictures_per_pass(3, (2048, 2048), device="cuda") == 3
    assert prompts_per_pass(None, 512, device="cuda") == 1
    assert prompts_per_pass(None, 48, device="cuda") == 10
    assert prompts_per_pass(None, 48, device="cpu") == 1
    assert prompts_per_pass(5, 512, device="cpu") == 5


@pytest.mark.slow
def test_a_tensor_does_not_depend_on_what_else_was_missing(tmp_path: Path) -> None:
    colours = ("red", "green", "blue")
    for colour in colours:
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{colour}.png")

    def encoded(run: str, names: tuple[str, ...], per_pass: int) -> dict[str, torch.Tensor]:
        pictures = {
            name: PictureTask(
                tmp_path / f"{name}.png",
                (64, 64),
                Slot(tmp_path / run / "latents", content_key(name=name)),
                per_pass=per_pass,
            )
            for name in names
        }
        prompts = {
            f"a {name} cat": PromptTask(
                f"a {name} cat", Slot(tmp_path / run / "prompts", content_key(name=name))
            )
            for name in names
        }
        plan = tiny_plan(
            pictures=tuple(pictures.values()),
            prompts=tuple(prompts.values()),
            prompts_per_pass=per_pass,
        )
        done: list[int] = []
        encode(plan, lambda number, _: done.append(number))
        assert done[-1] == 2 * len(names)
        return {name: task.slot.read() for name, task in (pictures | prompts).items()}

    together = encoded("together", colours, 2)
    alone = {}
    for name in colours:
        alone |= encoded(f"alone-{name}", (name,), 2)
    one_by_one = encoded("one", colours, 1)
    assert together.keys() == alone.keys() == one_by_one.keys()
    for name, tensor in together.items():
        assert torch.equal(tensor, alone[name]), name
        assert torch.allclose(tensor, one_by_one[name], atol=1e-4), name
