"""Drawings: pictures with any LoRA file at any strength, outside of a training."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers import Flux2Pipeline
from diffusers.models.autoencoders.vae import Decoder
from PIL import Image
from safetensors.torch import save_file

from tests.trainer.pipeline_pictures import PROMPT, bundled_pipeline, drawn_by
from tests.trainer.short_runs import ShortRun, finished_run
from tests.trainer.test_aside import Stuck
from trainer.__main__ import main
from trainer.commands import append_command
from trainer.drawing_config import DrawingConfig, as_job, lora_files
from trainer.drawing_door import examine_drawing, parse_drawing
from trainer.errors import EXIT_COMPLETED, BadLora, JobRefused, OutOfMemory, StopRequested
from trainer.events import RunFinished, Sample, SampleFailed, SamplePreview
from trainer.folders import Folders
from trainer.job_folder import JobFolder
from trainer.lora_factors import added_weight
from trainer.machine import Machine
from trainer.quantization_kinds import QuantizationKind
from trainer.sampling import SampleRequest, read_recipe, sample_requests
from trainer.sampling import draw as draw_with

LAYERS = ("transformer_blocks.1.attn.to_q", "single_transformer_blocks.3.attn.to_out")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A LoRA and a LoKr, both large enough to be seen, of random numbers."""
    folder = tmp_path_factory.mktemp("loras")
    transformer = bundled_pipeline().transformer
    generator = torch.Generator().manual_seed(4)
    lora: dict[str, torch.Tensor] = {}
    lokr: dict[str, torch.Tensor] = {}
    for layer in LAYERS:
        rows, columns = transformer.get_submodule(layer).weight.shape
        lora[f"{layer}.lora_A.weight"] = torch.randn(4, columns, generator=generator) * 0.2
        lora[f"{layer}.lora_B.weight"] = torch.randn(rows, 4, generator=generator) * 0.2
        lokr[f"{layer}.lokr_w1"] = torch.randn(8, 4, generator=generator) * 0.3
        lokr[f"{layer}.lokr_w2_a"] = torch.randn(rows // 8, 4, generator=generator) * 0.3
        lokr[f"{layer}.lokr_w2_b"] = torch.randn(4, columns // 4, generator=generator) * 0.3
    paths = {"lora": folder / "a-lora.safetensors", "lokr": folder / "a-lokr.safetensors"}
    for values, path in ((lora, paths["lora"]), (lokr, paths["lokr"])):
        save_file({f"transformer.{name}": value for name, value in values.items()}, path)
    return paths


def drawing_of(files: dict[str, Path], **changes: Any) -> dict[str, Any]:
    picture = {"prompt": PROMPT, "width": 64, "height": 64, "guidance_scale": 1.0}
    drawing: dict[str, Any] = {
        "name": "try",
        "gpu": "cpu",
        "data_type": "fp32",
        "model": {
            "model_architecture": "tiny",
            "vae_data_type": "fp32",
            "layer_offloading": "on",
            "low_vram": True,
        },
        "quantization": {"transformer": "none", "text_encoder": "none"},
        "sample_steps": 2,
        "loras": [str(files["lora"]), str(files["lokr"])],
        "pictures": [
            picture,
            picture | {"lora": 0},
            picture | {"lora": 1},
            picture | {"lora": 0, "lora_strength": 0.5},
            picture | {"lora": 1, "lora_strength": 0.5},
            picture | {"lora": 1, "lora_strength": 0.0},
        ],
    }
    return copy.deepcopy(drawing | changes)


def draw(drawing: dict[str, Any], folders: Folders, parent: Path, *options: str) -> int:
    """By the command, in this process."""
    file = parent / "drawing.yaml"
    file.write_text(yaml.safe_dump(drawing))
    roots = ["--datasets", str(folders.datasets), "--models", str(folders.models)]
    roots += ["--cache", str(folders.cache)]
    return main(["draw", str(file), "--output", str(parent), *roots, *options])


@pytest.fixture(scope="module")
def drawn(
    files: dict[str, Path], short_folders: Folders, tmp_path_factory: pytest.TempPathFactory
) -> ShortRun:
    parent = tmp_path_factory.mktemp("drawn")
    return finished_run(parent, "try", draw(drawing_of(files), short_folders, parent))


def picture_of(drawn: ShortRun, index: int) -> np.ndarray:
    with Image.open(drawn.folder.sample(0, index)) as picture:
        return np.asarray(picture).astype(int)


def pipeline_stored_as(kind: QuantizationKind) -> Flux2Pipeline:
    """The bundled model with the numbers that its blocks' layers have once they are quantized.

    Plain layers: what stands in their way, and in an adapter's, is not used.
    """
    from trainer.quantization import quantized

    pipeline = bundled_pipeline()
    with torch.no_grad():
        for part in ("transformer_blocks", "single_transformer_blocks"):
            for layer in pipeline.transformer.get_submodule(part).modules():
                if isinstance(layer, torch.nn.Linear) and kind != "none":
                    assert layer.bias is None
                    of_inputs = quantized(layer, kind)(torch.eye(layer.in_features))
                    layer.weight.copy_(of_inputs.T)
    return pipeline


def merged_picture(
    files: dict[str, Path], strength: float, kind: QuantizationKind = "none"
) -> np.ndarray:
    """What the pipeline draws with the LoKr added to its weights."""
    from trainer.lora_keys import by_layer
    from trainer.lora_reading import read_lora

    pipeline = pipeline_stored_as(kind)
    with torch.no_grad():
        for layer, factors in by_layer(read_lora(files["lokr"]).values()).items():
            pipeline.transformer.get_submodule(layer).weight += strength * added_weight(factors)
    return drawn_by(pipeline)


@pytest.mark.slow
def test_one_drawing_shows_the_base_a_lora_and_a_lokr_as_the_pipeline_does(
    drawn: ShortRun, files: dict[str, Path]
) -> None:
    assert_drawn_as_by_the_pipeline(drawn, files, "none")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float8", "int8", "nf4"])
def test_a_quantized_model_draws_with_a_lora_and_a_lokr_as_one_of_the_same_numbers_does(
    kind: QuantizationKind, files: dict[str, Path], short_folders: Folders, tmp_path: Path
) -> None:
    drawing = drawing_of(files, quantization={"transformer": kind, "text_encoder": "none"})
    run = finished_run(tmp_path, "try", draw(drawing, short_folders, tmp_path))
    assert_drawn_as_by_the_pipeline(run, files, kind)
    unquantized = drawn_by(bundled_pipeline())
    assert np.abs(picture_of(run, 0) - unquantized).max() > 1, "it was quantized"


def assert_drawn_as_by_the_pipeline(
    drawn: ShortRun, files: dict[str, Path], kind: QuantizationKind
) -> None:
    """Exactly, or within a level where sums are taken in another order."""
    assert drawn.exit_code == EXIT_COMPLETED
    assert drawn.of_type(SampleFailed) == []
    pipeline = pipeline_stored_as(kind)
    base = drawn_by(pipeline)
    of_base = 0 if kind == "none" else 1
    assert np.abs(picture_of(drawn, 0) - base).max() <= of_base
    assert np.abs(picture_of(drawn, 5) - base).max() <= of_base  # strength 0
    pipeline.load_lora_weights(str(files["lora"]), adapter_name="own")
    for index, strength in ((1, 1.0), (3, 0.5)):
        pipeline.set_adapters("own", strength)
        assert np.abs(picture_of(drawn, index) - drawn_by(pipeline)).max() <= 1
    for index, strength in ((2, 1.0), (4, 0.5)):
        merged = merged_picture(files, strength, kind)
        assert np.abs(picture_of(drawn, index) - merged).max() <= 1
    unlike = [np.abs(picture_of(drawn, index) - base).max() for index in (1, 2, 3, 4)]
    assert min(unlike) > 8


@pytest.mark.slow
def test_each_picture_says_which_file_it_was_drawn_with(drawn: ShortRun) -> None:
    events = drawn.of_type(Sample)
    assert [(e.prompt_index, e.step) for e in events] == [(index, 0) for index in range(6)]
    recipes = [read_recipe(drawn.folder.path / event.path) for event in events]
    named = [(recipe["lora"], recipe["lora_strength"]) for recipe in recipes if recipe]
    lora, lokr = "a-lora.safetensors", "a-lokr.safetensors"
    assert named == [
        (None, 0.0),
        (lora, 1.0),
        (lokr, 1.0),
        (lora, 0.5),
        (lokr, 0.5),
        (lokr, 0.0),
    ]
    (end,) = drawn.of_type(RunFinished)
    assert (end.outcome, end.step) == ("completed", 6)


@pytest.mark.slow
def test_a_drawing_goes_on_with_the_pictures_that_are_missing(
    drawn: ShortRun, files: dict[str, Path], short_folders: Folders
) -> None:
    lost = drawn.folder.sample(0, 3)
    before = {path.name: path.read_bytes() for path in drawn.folder.samples.iterdir()}
    lost.unlink()
    parent = drawn.folder.parent
    again = finished_run(parent, "try", draw(drawing_of(files), short_folders, parent))
    assert [event.prompt_index for event in again.of_type(Sample)] == [3]
    assert {path.name: path.read_bytes() for path in drawn.folder.samples.iterdir()} == before
    assert not any(event.type == "warning" for event in again.events)


@pytest.mark.slow
def test_files_that_are_kept_for_a_drawing_are_drawn_with_and_go_when_nothing_is_missing(
    files: dict[str, Path],
    short_folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = tmp_path / "a-lora.safetensors"
    picture = drawing_of(files)["pictures"][0]
    pictures = [picture | {"lora": 0}, picture | {"lora": 0, "seed": 7}]
    drawing = drawing_of(files, loras=[str(chosen)], pictures=pictures)
    folder = JobFolder(tmp_path, "try")
    folder.loras.mkdir(parents=True)
    kept = folder.loras / folder.kept_name(str(chosen))
    kept.write_bytes(files["lora"].read_bytes())

    def draw_one_seed(pipeline: Any, request: SampleRequest, **how: Any) -> Image.Image | None:
        if request.seed == 7:
            raise ValueError("not this one")
        return draw_with(pipeline, request, **how)

    with monkeypatch.context() as patch:
        patch.setattr("trainer.drawing.draw", draw_one_seed)
        first = finished_run(tmp_path, "try", draw(drawing, short_folders, tmp_path))
    assert [event.prompt_index for event in first.of_type(Sample)] == [0]
    assert kept.is_file(), "a picture is missing"
    rest = finished_run(tmp_path, "try", draw(drawing, short_folders, tmp_path))
    assert [event.prompt_index for event in rest.of_type(Sample)] == [1]
    assert not folder.loras.exists()
    recipe = read_recipe(folder.sample(0, 0))
    assert recipe is not None
    assert recipe["lora"] == "a-lora.safetensors"
    pipeline = bundled_pipeline()
    pipeline.load_lora_weights(str(files["lora"]), adapter_name="own")
    assert np.abs(picture_of(first, 0) - drawn_by(pipeline)).max() <= 1


@pytest.mark.slow
def test_a_picture_that_is_being_drawn_can_be_watched(
    files: dict[str, Path], short_folders: Folders, tmp_path: Path
) -> None:
    drawing = drawing_of(files, sample_steps=3)
    drawing["pictures"] = drawing["pictures"][:1]
    run = finished_run(tmp_path, "try", draw(drawing, short_folders, tmp_path))
    (preview,) = run.of_type(SamplePreview)
    assert (preview.step, preview.prompt_index, preview.done, preview.total) == (0, 0, 2, 3)
    (drawn,) = run.of_type(Sample)
    assert preview.prompt == drawn.prompt
    with Image.open(run.folder.run(1).path / preview.path) as picture:
        assert (picture.format, picture.size) == ("PNG", (8, 8))
    types = [event.type for event in run.events]
    assert types.index("sample_preview") < types.index("sample")


@pytest.mark.slow
def test_a_drawing_for_which_memory_runs_out_says_what_would_help_of_each_picture_and_of_itself(
    files: dict[str, Path],
    short_folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        torch.empty(2**55)

    monkeypatch.setattr("trainer.drawing.draw", out_of_memory)
    pictures = drawing_of(files)["pictures"][:2]
    drawing = drawing_of(files, pictures=pictures)
    run = finished_run(tmp_path, "try", draw(drawing, short_folders, tmp_path))
    assert run.exit_code == OutOfMemory.exit_code
    failures = run.of_type(SampleFailed)
    assert [event.code for event in failures] == ["out_of_memory"] * 2
    assert all(event.params["phase"] == "sample" for event in failures)
    assert all(event.hint.endswith("drawn all the same.") for event in failures)
    (finished,) = run.of_type(RunFinished)
    (problem,) = finished.problems
    assert (problem["code"], problem["params"]["phase"]) == ("out_of_memory", "sample")
    assert problem["params"]["peak_bytes"] > 100 << 20
    assert "the others are drawn when it is queued again" in problem["hint"]


@pytest.mark.slow
def test_a_search_for_cures_that_fails_leaves_the_drawing_its_name(
    files: dict[str, Path],
    short_folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("trainer.drawing.draw", out_of_memory)
    monkeypatch.setattr("trainer.drawing.explained", out_of_memory)
    drawing = drawing_of(files, pictures=drawing_of(files)["pictures"][:1])
    run = finished_run(tmp_path, "try", draw(drawing, short_folders, tmp_path))
    assert run.exit_code == OutOfMemory.exit_code
    (finished,) = run.of_type(RunFinished)
    assert [problem["code"] for problem in finished.problems] == ["out_of_memory"]


@pytest.mark.slow
def test_a_transformer_that_does_not_come_back_ends_the_drawing_as_what_it_is(
    files: dict[str, Path],
    short_folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("a picture that cannot be decoded")

    monkeypatch.setattr(Decoder, "forward", fails)
    drawing = drawing_of(files, pictures=drawing_of(files)["pictures"][:2])
    drawing["model"]["layer_offloading"] = "off"
    with monkeypatch.context() as patched:
        patched.setattr("trainer.aside.BlockWeights", Stuck)
        run = finished_run(tmp_path, "try", draw(drawing, short_folders, tmp_path))
    assert run.exit_code == OutOfMemory.exit_code
    assert run.of_type(SampleFailed) == []  # nor was the second one tried
    (finished,) = run.of_type(RunFinished)
    assert finished.problems[0]["code"] == "out_of_memory"
    # Where it comes back, the picture alone is lost.
    again = finished_run(tmp_path, "try", draw(drawing, short_folders, tmp_path))
    assert len(again.of_type(SampleFailed)) == 2


@pytest.mark.slow
def test_a_reference_picture_changes_what_is_drawn_with_a_lora_as_it_does_in_the_pipeline(
    files: dict[str, Path], short_folders: Folders, tmp_path: Path
) -> None:
    names = ["squares/0-red.png", "squares/2-blue.png"]
    picture = drawing_of(files)["pictures"][0] | {"lora": 0}
    pictures = [picture, *(picture | {"control_images": [name]} for name in names)]
    drawing = drawing_of(files, loras=[str(files["lora"])], pictures=pictures)
    run = finished_run(tmp_path, "try", draw(drawing, short_folders, tmp_path))
    assert (run.exit_code, run.of_type(SampleFailed)) == (EXIT_COMPLETED, [])
    assert [event.control_images for event in run.of_type(Sample)] == [[], *([n] for n in names)]

    pipeline = bundled_pipeline()
    pipeline.load_lora_weights(str(files["lora"]), adapter_name="own")
    for index, name in enumerate(names, start=1):
        with Image.open(short_folders.datasets / name) as reference:
            expected = drawn_by(pipeline, image=[reference.convert("RGB")])
        assert np.abs(picture_of(run, index) - expected).max() <= 1
    plain, red, blue = (picture_of(run, index) for index in range(3))
    for one, other in ((plain, red), (plain, blue), (red, blue)):
        assert np.abs(one - other).max() > 8


def test_a_stop_is_obeyed_before_the_model_loads(
    files: dict[str, Path], short_folders: Folders, tmp_path: Path
) -> None:
    run = JobFolder(tmp_path, "try").run(1)
    run.path.mkdir(parents=True)
    append_command(run.commands, "stop")
    exit_code = draw(drawing_of(files), short_folders, tmp_path, "--run-number", "1")
    assert exit_code == StopRequested.exit_code
    stopped = finished_run(tmp_path, "try", 3)
    (end,) = stopped.of_type(RunFinished)
    assert end.outcome == "stopped"
    assert stopped.samples() == {}


def test_a_drawing_that_a_worker_waits_for_leaves_its_refusal_in_the_events(
    files: dict[str, Path], short_folders: Folders, tmp_path: Path
) -> None:
    drawing = drawing_of(files, loras=[str(tmp_path / "gone.safetensors"), str(files["lokr"])])
    options = ("--run-number", "1", "--token", "own")
    assert draw(drawing, short_folders, tmp_path, *options) == BadLora.exit_code
    run = finished_run(tmp_path, "try", 0)
    assert [event.type for event in run.events] == ["run_started", "run_finished"]
    assert run.of_type(RunFinished)[0].problems[0]["code"] == "lora_missing"


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"pictures": []}, "too_short", "pictures"),
        ({"pictures": [{"prompt": "a", "lora": 2}]}, "value_error", "LoRA 2"),
        ({"pictures": [{"prompt": "a", "width": 100}]}, "multiple_of", "100"),
        ({"loras": ["../out.safetensors", "b"]}, "bad_path", "../out"),
        ({"loras": ["a.safetensors", "b"]}, "lora_missing", "a.safetensors"),
        ({"pictures": [{"prompt": "very " * 100}]}, "prompt_too_long", "48 tokens"),
        (
            {"pictures": [{"prompt": "a", "control_images": ["none.png"]}]},
            "control_image_unusable",
            "none.png",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(
    files: dict[str, Path],
    short_folders: Folders,
    changes: dict[str, Any],
    code: str,
    said: str,
) -> None:
    verdict = examine_drawing(drawing_of(files, **changes), short_folders)
    (problem, *_) = verdict.errors
    assert said in f"{problem.field} {problem.message}"
    assert problem.code == code
    if code == "prompt_too_long":
        assert problem.field == "pictures.0.prompt"


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "lora_is_pickle"),
        (lambda path: path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{"), "lora_damaged"),
        (
            lambda path: save_file(
                {"transformer.x": torch.ones(1)}, path, {"darkroom.architecture": "flux2-dev"}
            ),
            "lora_of_another_base",
        ),
    ],
)
def test_a_file_that_is_no_lora_of_this_model_is_refused_by_name(
    short_folders: Folders,
    files: dict[str, Path],
    tmp_path: Path,
    write: Callable[[Path], None],
    code: str,
) -> None:
    path = tmp_path / "strange.safetensors"
    write(path)
    drawing = drawing_of(files, loras=[str(path), str(files["lokr"])])
    verdict = examine_drawing(drawing, short_folders)
    assert [problem.code for problem in verdict.errors] == [code]
    with pytest.raises(BadLora, match="strange"):
        verdict.admitted()


def test_a_drawing_too_large_for_the_card_is_refused_with_the_numbers(
    files: dict[str, Path], short_folders: Folders
) -> None:
    card = Machine(card="a small card", vram_bytes=1 << 20, ram_bytes=1 << 36)
    verdict = examine_drawing(drawing_of(files), short_folders, lambda _job: card)
    (problem,) = verdict.errors
    assert (problem.code, problem.field) == ("does_not_fit", "model")
    assert "a small card" in problem.message


def test_the_job_that_stands_for_a_drawing_draws_its_pictures(files: dict[str, Path]) -> None:
    drawing = parse_drawing(drawing_of(files, trigger_word="zorvex"))
    picture = drawing.pictures[0].model_copy(update={"prompt": "[trigger], a cat", "seed": 7})
    many = drawing.model_copy(update={"pictures": [picture] * 100})
    requests = sample_requests(as_job(many))
    assert len(requests) == 100
    assert (requests[99].prompt, requests[99].seed) == ("zorvex, a cat", 7)
    assert (requests[99].width, requests[99].sample_steps) == (64, 2)
    assert as_job(drawing, [files["lora"], files["lora"]]).target.linear_rank == 8


def test_a_lora_in_the_models_folder_is_found_by_its_name(
    files: dict[str, Path], tmp_path: Path
) -> None:
    folders = Folders(tmp_path, tmp_path / "models", tmp_path)
    folders.models.mkdir()
    (folders.models / "own.safetensors").write_bytes(files["lora"].read_bytes())
    drawing = DrawingConfig.model_validate(drawing_of(files, loras=["own.safetensors"] * 2))
    assert lora_files(drawing, folders) == [folders.models / "own.safetensors"] * 2
    with pytest.raises(JobRefused, match="outside"):
        lora_files(drawing.model_copy(update={"loras": ["outside/../../x"]}), folders)
