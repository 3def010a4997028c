"""The field walk: another value of any setting changes what a run does, or it is absent.

Every leaf of JobConfig's schema needs an entry in CASES: another value, and the other settings
under which it can count (its `no_effect` text read the other way round). The test runs two steps
with and without it and compares what is left behind: losses, the LoRA's values and type, pictures,
files. EXCEPTIONS are fields whose effect is of another kind; each names the test that shows it.

One child encodes everything that the runs need beforehand, so each run is two steps in this
process.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import torch
from PIL import Image
from pydantic import BaseModel
from safetensors.torch import load_file, save_file

from tests.trainer.field_cases import (
    BASE,
    CASES,
    EXCEPTIONS,
    LONG_CASES,
    ONE_PROMPT,
    OTHER_MODEL,
    START_LORA,
)
from tests.trainer.short_runs import ShortRun, job_with, make_squares, run_here
from trainer.config import JobConfig
from trainer.door import examine_job
from trainer.encoding import encode_missing
from trainer.events import Measured
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.lora_file import write_lora_file
from trainer.lora_keys import variant_layers
from trainer.pictures import upright_size
from trainer.texts import texts_of_run
from trainer.validation_items import all_items
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture


def leaf_fields(model: type[BaseModel] = JobConfig, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all settings; lists of panels are walked at their first entry."""
    for name, info in model.model_fields.items():
        annotation = info.annotation
        path = f"{prefix}{name}"
        if get_origin(annotation) is list and is_panel(get_args(annotation)[0]):
            yield from leaf_fields(get_args(annotation)[0], f"{path}.0.")
        elif is_panel(annotation):
            yield from leaf_fields(annotation, f"{path}.")  # type: ignore[arg-type]
        else:
            yield path


def is_panel(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def test_every_field_has_a_case_or_an_argued_exception() -> None:
    fields = set(leaf_fields())
    assert fields - set(CASES) - set(EXCEPTIONS) == set(), "add a case for a new field"
    assert set(CASES) | set(EXCEPTIONS) == fields, "remove the case of a field that is gone"
    assert not set(CASES) & set(EXCEPTIONS)


def test_every_other_value_differs_from_the_base() -> None:
    for path, case in CASES.items():
        base = parse_job(job_with(case.under, base=BASE))
        assert parse_job(job_with({**case.under, path: case.value}, base=BASE)) != base, path


# ---------------------------------------------------------------------------------------- the walk


@pytest.fixture(scope="module")
def walk_folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Two datasets, another tiny model, and a cache that already holds what all cases need."""
    root = tmp_path_factory.mktemp("walk")
    folders = Folders(root / "datasets", root / "models", root / "cache")
    make_squares(folders.datasets)
    shutil.copytree(folders.datasets / "squares", folders.datasets / "more-squares")
    (folders.datasets / "more-squares" / "5-purple.png").unlink()
    shutil.copytree(folders.datasets / "more-squares", folders.datasets / "few-squares")
    (folders.datasets / "few-squares" / "4-orange.png").unlink()
    (folders.datasets / "squares" / "0-red.caption").write_text("[trigger], another red square")
    for index, picture in enumerate(sorted((folders.datasets / "squares").glob("*.png"))):
        make_companions(folders.datasets, picture, bright_px=16 + 8 * index)
    make_other_model(folders.models / OTHER_MODEL)
    make_lora(folders.models / START_LORA)
    encode_for_all_cases(folders)
    return folders


def make_companions(datasets: Path, picture: Path, *, bright_px: int) -> None:
    """A mask that is white at the left, and a reference of one colour."""
    size = upright_size(picture)
    for folder in ("masks", "references"):
        (datasets / folder).mkdir(exist_ok=True)
    mask = Image.new("L", size, "black")
    mask.paste("white", (0, 0, bright_px, size[1]))
    mask.save(datasets / "masks" / picture.name)
    Image.new("RGB", (64, 80), "teal").save(datasets / "references" / picture.name)


def make_other_model(folder: Path) -> None:
    """The bundled model with a layer of its own in each part."""
    shutil.copytree(BUNDLED_TINY_FOLDER, folder)
    for file, name in (
        ("transformer/diffusion_pytorch_model", "proj_out.weight"),
        ("vae/diffusion_pytorch_model", "encoder.conv_in.weight"),
        ("text_encoder/model", "language_model.model.embed_tokens.weight"),
    ):
        path = folder / f"{file}.safetensors"
        tensors = load_file(path)
        (found,) = [own for own in tensors if own == name or own.endswith("embed_tokens.weight")]
        tensors[found] += 0.05
        save_file(tensors, path, metadata={"format": "pt"})


def make_lora(file: Path) -> None:
    """A LoRA of rank 4 on the bundled model that changes something."""
    weights = load_file(BUNDLED_TINY_FOLDER / "transformer" / "diffusion_pytorch_model.safetensors")
    values: dict[str, torch.Tensor] = {}
    for layer in variant_layers(VARIANTS[Architecture.TINY]):
        num_out, num_in = weights[f"{layer}.weight"].shape
        values[f"{layer}.lora_A.weight"] = torch.full((4, num_in), 0.01)
        values[f"{layer}.lora_B.weight"] = torch.full((num_out, 4), 0.01)
    write_lora_file(file, values, scale=1.0, dtype=torch.float32, metadata={})


def encode_for_all_cases(folders: Folders) -> None:
    """Fill the cache in one go: all texts as one job's prompts, all pictures as its datasets."""
    texts: dict[str, None] = {}
    datasets: list[dict[str, Any]] = []
    for path, case in CASES.items():
        for changes in (case.under, {**case.under, path: case.value}):
            verdict = examine_job(job_with(changes, base=BASE), folders)
            job = verdict.admitted()
            texts |= dict.fromkeys(texts_of_run(job, all_items(job, verdict.indexes)))
            for dataset in job.model_dump(mode="json")["datasets"]:
                if dataset not in datasets:
                    datasets.append(dataset)
    prompts = [{"prompt": text} for text in texts]
    for start in range(0, len(prompts), 60):
        everything = job_with(
            {"datasets": datasets, "sample.prompts": prompts[start : start + 60]}, base=BASE
        )
        verdict = examine_job(everything, folders)
        encode_missing(
            verdict.admitted(),
            folders,
            verdict.indexes,
            device="cpu",
            report=lambda _event: None,
            stop_requested=lambda: False,
        ).close()


@pytest.fixture(scope="module")
def run_of(
    walk_folders: Folders, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """What a job leaves behind, by its changes from the base; each job runs once."""

    @functools.cache
    def trace(changes: str) -> dict[str, Any]:
        run = run_here(
            job_with(eval(changes), base=BASE),
            walk_folders,
            tmp_path_factory.mktemp("run"),
        )
        assert run.exit_code == 0
        return left_behind(run)

    return trace


def left_behind(run: ShortRun) -> dict[str, Any]:
    """Losses and measurements to five digits, each LoRA tensor's type and size, pictures, and the
    names of files.
    """
    folder = run.folder
    lora = load_file(folder.result)
    return {
        "losses": {
            step: tuple(None if v is None else float(f"{v:.5g}") for v in values)
            for step, values in run.losses.items()
        },
        "measured": [
            [m.step]
            + [
                None if v is None else float(f"{v:.5g}")
                for v in (m.validation_loss, m.drift_without_trigger, m.change_with_trigger)
            ]
            for m in run.of_type(Measured)
        ],
        "lora": {n: (t.dtype, t.shape, float(f"{t.float().norm():.4g}")) for n, t in lora.items()},
        "pictures": run.samples(),
        "files": sorted(folder.relative(p) for p in folder.path.rglob("*.safetensors")),
    }


@pytest.mark.slow  # some sixty trainings of two steps
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.long] if path in LONG_CASES else []) for path in CASES],
)
def test_another_value_changes_what_the_run_leaves_behind(
    path: str, run_of: Callable[[str], dict[str, Any]]
) -> None:
    case = CASES[path]
    base = run_of(repr(case.under))
    changed = run_of(repr({**case.under, path: case.value}))
    assert changed != base, f"{path} = {case.value!r} changes nothing"


@pytest.mark.slow
def test_the_same_job_leaves_the_same_behind(
    walk_folders: Folders, run_of: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    """Without this, noise between runs could pass for an effect."""
    again = run_here(job_with(ONE_PROMPT, base=BASE), walk_folders, tmp_path)
    assert left_behind(again) == run_of(repr(ONE_PROMPT))


# ------------------------------------------------------------------- the exceptions' own effects


def test_the_gpu_setting_chooses_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.model_loading import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cpu") == "cpu"
    assert choose_device("any") == choose_device("GPU-0a1b2c3d") == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("any") == choose_device("GPU-0a1b2c3d") == "cpu"


def test_gradient_checkpointing_keeps_less_in_memory() -> None:
    from trainer.trainee import load_trainee
    from trainer.training_step import predict_velocity

    def bytes_kept(checkpointing: bool) -> int:
        job = parse_job(job_with({"training.gradient_checkpointing": checkpointing}, base=BASE))
        trainee = load_trainee(
            job, BUNDLED_TINY_FOLDER / "transformer", device="cpu", progress=lambda *_: None
        )
        kept: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        joint_dim = trainee.transformer.config["joint_attention_dim"]
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            predict_velocity(
                trainee.transformer,
                torch.ones(1, 64, 128),
                timestep=torch.tensor([0.5]),
                embeds=torch.ones(1, 48, joint_dim),
                size=(8, 8),
                guidance=1.0,
            )
        return sum(kept.values())

    assert bytes_kept(True) < bytes_kept(False) / 3


@pytest.mark.long
def test_caches_that_are_off_are_empty_after_the_run(
    walk_folders: Folders, tmp_path: Path, run_of: Callable[[str], dict[str, Any]]
) -> None:
    def files(folders: Folders) -> list[Path]:
        return [path for path in folders.cache.rglob("*.safetensors") if path.is_file()]

    off = {"training.cache_text_embeddings": False, "datasets.0.cache_latents": False}
    private = Folders(walk_folders.datasets, walk_folders.models, tmp_path / "cache")
    run = run_here(job_with(off, base=BASE), private, tmp_path)
    assert files(private) == []
    assert left_behind(run) == run_of(repr({}))
    assert files(walk_folders)  # where they are on, what was encoded stays
