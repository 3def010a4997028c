"""Low VRAM does what its help says, part by part, and changes no result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.vae import Decoder

import trainer.encoding
import trainer.text_encoder_loading
import trainer.trainee
from tests.trainer.plan_jobs import judged
from tests.trainer.poisoned_stream import PoisonedStream
from tests.trainer.short_runs import job_with, make_squares, run_here
from tests.trainer.test_offloading_runs import BUSY, left_behind
from tests.trainer.tiny_plans import tiny_plan
from trainer.caching import Slot, content_key
from trainer.encoding_child import encode
from trainer.encoding_plan import EncodingPlan, PromptTask
from trainer.folders import Folders
from trainer.host_keeper import HostKeeper
from trainer.job_file import parse_job
from trainer.model_loading import load_drawing_parts
from trainer.model_parts import parts_of_pipeline
from trainer.prompt_encoding import load_prompt_encoder
from trainer.run_record import opened_run
from trainer.sample_round import SampleRounds
from trainer.sampling import build_pipeline
from trainer.trainee import load_trainee
from trainer.training_step import predict_velocity
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

TINY = VARIANTS[Architecture.TINY]
EMBED_DIM = 288
ON = {"model.low_vram": True}


class Memory:
    """What a run did with memory: tensors kept on the host, whether weights were aside."""

    def __init__(self) -> None:
        self.num_kept = 0
        self.is_aside = False
        self.decoded_aside: list[bool] = []
        self.plans: list[EncodingPlan] = []


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Watches runs; inputs of any size are kept on the host, since all of theirs are small."""
    seen = Memory()

    class Watched(HostKeeper):
        def __init__(self) -> None:
            super().__init__(min_bytes=0)

        def keep(self, tensors):
            seen.num_kept += len(tensors)
            return super().keep(tensors)

    set_aside, decode, run_child = (
        trainer.trainee.set_aside,
        Decoder.forward,
        trainer.encoding.run_child,
    )

    @contextmanager
    def watched_aside(*args: Any) -> Iterator[None]:
        with set_aside(*args):
            seen.is_aside = True
            yield
        seen.is_aside = False

    def watched_decode(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.decoded_aside.append(seen.is_aside)
        return decode(self, *args, **kwargs)

    def watched_child(plan: EncodingPlan, **kwargs: Any) -> None:
        seen.plans.append(plan)
        run_child(plan, **kwargs)

    monkeypatch.setattr(trainer.trainee, "HostKeeper", Watched)
    monkeypatch.setattr(trainer.trainee, "set_aside", watched_aside)
    monkeypatch.setattr(Decoder, "forward", watched_decode)
    monkeypatch.setattr(trainer.encoding, "run_child", watched_child)
    return seen


@pytest.mark.slow
@pytest.mark.long
def test_a_run_leaves_behind_what_it_leaves_without_low_vram(
    memory: Memory, tmp_path: Path
) -> None:
    make_squares(tmp_path / "datasets")
    runs = []
    for name, changes in (("off", {}), ("on", ON)):
        folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / name / "cache")
        runs.append(left_behind(run_here(job_with(changes, base=BUSY), folders, tmp_path / name)))
        if not changes:
            assert memory.num_kept == 0
            assert not any(memory.decoded_aside)
            assert memory.decoded_aside
            assert [plan.percent_streamed for plan in memory.plans] == [0.0]
            memory.decoded_aside.clear()
    assert runs[0] == runs[1]
    # 3 steps of 2 micro-batches: one pass with gradient for those without a trigger, else two; a
    # double block has two inputs and two modulations, a single one an input and a modulation.
    assert memory.num_kept >= 3 * 2 * (2 * 4 + 4 * 2)
    assert memory.decoded_aside
    assert all(memory.decoded_aside)
    assert not memory.is_aside
    assert memory.plans[-1].percent_streamed == 100.0


class Prompts:
    """Stands for what was encoded: any text, in the bundled model's sizes."""

    def prompt(self, _text: str) -> torch.Tensor:
        return torch.ones(TINY.max_sequence_length, EMBED_DIM)


@pytest.mark.parametrize("changes", [{}, ON], ids=["off", "on"])
def test_the_switch_reaches_what_keeps_inputs_and_what_makes_way_for_decoding(
    memory: Memory, tmp_path: Path, changes: dict[str, Any]
) -> None:
    job = parse_job(job_with({"sample.prompts": [{"prompt": "a red square"}], **changes}))
    trainee = load_trainee(
        job, BUNDLED_TINY_FOLDER / "transformer", device="cpu", progress=lambda *_: None
    )
    predict_velocity(
        trainee.transformer,
        torch.ones(1, 6, 128),
        timestep=torch.tensor([0.5]),
        embeds=torch.ones(1, 4, EMBED_DIM),
        size=(2, 3),
        guidance=1.0,
    ).sum().backward()
    # 2 double blocks with two inputs and two modulations, 4 single ones with one of each.
    assert memory.num_kept == (2 * 4 + 4 * 2 if changes else 0)

    parts = load_drawing_parts(
        parts_of_pipeline(BUNDLED_TINY_FOLDER, Architecture.TINY), vae_dtype=torch.float32
    )
    pipeline = build_pipeline(TINY, trainee.transformer, parts)
    folders = Folders(tmp_path, tmp_path, tmp_path)
    encoded: Any = Prompts()
    with opened_run(job, parent=tmp_path, run_number=None, token="") as record:
        record.start(device="cpu", num_threads=1, versions={})
        rounds = SampleRounds(job, pipeline, encoded, record, indexes=[], folders=folders)
        rounds.draw_all(trainee)
    assert memory.decoded_aside == [bool(changes)]
    assert not memory.is_aside


@pytest.mark.parametrize(
    ("changes", "percent"),
    [
        ({}, 0.0),
        (ON, 100.0),
        ({"model.layer_offloading": "on"}, 100.0),
        ({"model.layer_offloading": "auto", "model.text_encoder_offload_percent": 40.0}, 100.0),
        ({"model.layer_offloading": "on", "model.text_encoder_offload_percent": 40.0}, 40.0),
        ({**ON, "model.layer_offloading": "on", "model.text_encoder_offload_percent": 0.0}, 0.0),
    ],
)
def test_the_settings_say_how_much_of_the_text_encoder_is_streamed(
    changes: dict[str, Any], percent: float
) -> None:
    assert parse_job(job_with(changes)).model.percent_of_encoder_streamed == percent


@pytest.mark.parametrize(
    ("low_vram", "vram_gib", "percent"),
    [(False, 80, 0.0), (True, 80, 100.0), (True, None, 100.0)],
)
def test_with_low_vram_auto_settles_on_all_of_the_text_encoder(
    low_vram: bool, vram_gib: float | None, percent: float
) -> None:
    found = judged(
        {"model.low_vram": low_vram, "model.layer_offloading": "auto"}, vram_gib=vram_gib
    )
    assert found.job.model.layer_offloading == ("off" if vram_gib is None else "on")
    assert found.job.model.percent_of_encoder_streamed == percent
    assert found.job.model.percent_streamed == 0  # the transformer's share is the card's


# -------------------------------------------------------------------------- the streamed encoder


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[PoisonedStream]:
    """Every stream that text encoders make; blocks in no slot are full of NaN."""
    made: list[PoisonedStream] = []

    class Noted(PoisonedStream):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(trainer.text_encoder_loading, "BlockStream", Noted)
    return made


def embedding(percent: float, quantization: Any = "none") -> torch.Tensor:
    encoder = load_prompt_encoder(
        BUNDLED_TINY_FOLDER,
        variant=VARIANTS[Architecture.TINY],
        dtype=torch.float32,
        device="cpu",
        quantization=quantization,
        percent_streamed=percent,
    )
    encoder.encode("a first one, so that the second finds the slots in use")
    return encoder.encode("a red square")


@pytest.mark.parametrize("quantization", ["none", "float8", "int8"])
@pytest.mark.parametrize("percent", [50.0, 100.0])
def test_a_streamed_text_encoder_says_what_a_resident_one_says(
    percent: float, quantization: str, streams: list[PoisonedStream]
) -> None:
    streamed = embedding(percent, quantization)
    assert torch.equal(streamed, embedding(0.0, quantization))
    (stream,) = streams
    assert stream.streamed == ((0, 1, 2) if percent == 100 else (0, 2))
    assert stream.visited == [0, 1, 2, 0, 1, 2]


def test_the_encoding_child_streams_what_its_plan_says(
    tmp_path: Path, streams: list[PoisonedStream]
) -> None:
    slots = [Slot(tmp_path / name, content_key(text="a cat")) for name in ("streamed", "resident")]
    for percent, slot in zip((100.0, 0.0), slots, strict=True):
        plan = tiny_plan(prompts=(PromptTask("a cat", slot),), percent_streamed=percent)
        encode(EncodingPlan.from_line(plan.to_line()), lambda *_: None)
    (stream,) = streams
    assert stream.streamed == (0, 1, 2)
    assert torch.equal(slots[0].read(), slots[1].read())
