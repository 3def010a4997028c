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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import torch
from PIL import Image
from pydantic import BaseModel
from safetensors.torch import load_file, save_file

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

STEPS = 2
BASE = job_with({"training.steps": STEPS})
ONE_PROMPT = {"sample.prompts": [{"prompt": "[trigger], a red square"}]}
TWO_PROMPTS = {"sample.prompts": [{"prompt": "a red square"}, {"prompt": "a red square"}]}
PRESERVED = {
    "regularization.differential_output_preservation": True,
    "regularization.preservation_class": "picture",
    "datasets.0.default_caption": "[trigger], a square",
}
LOKR = {"target.target_type": "lokr"}
OTHER_MODEL = "other-tiny"
START_LORA = "start.safetensors"
VALIDATED = {"advanced.validation": "dataset", "advanced.validation_dataset": "more-squares"}
PROBED = {"advanced.preservation_probe": True}
STOPPED_EARLY = {
    **PROBED,
    "advanced.validate_every": 1,
    "advanced.early_stop": "preservation_drift",
    "advanced.patience": 1,
    "advanced.drift_limit": 1e-9,
}


@dataclass(frozen=True)
class Case:
    """value: another than the base's. under: settings that let it count, for both runs."""

    value: Any
    under: dict[str, Any] = field(default_factory=dict)


CASES: dict[str, Case] = {
    "job.training_name": Case("another"),
    "job.trigger_word": Case("blorp"),
    "job.seed": Case(43),
    "model.name_or_path": Case(OTHER_MODEL),
    "model.autoencoder_path": Case(f"{OTHER_MODEL}/vae"),
    "model.text_encoder_path": Case(f"{OTHER_MODEL}/text_encoder"),
    "model.vae_data_type": Case("bf16"),
    "quantization.transformer": Case("float8"),
    "quantization.text_encoder": Case("float8"),
    "target.linear_rank": Case(8),
    "target.linear_alpha": Case(1.0),
    "target.target_type": Case("lokr"),
    "target.lokr_factor": Case(8, LOKR),
    "target.lokr_full_rank": Case(True, {**LOKR, "target.lokr_factor": 4}),
    "target.dropout": Case(0.5, {"training.learning_rate": 0.1}),
    "target.layers": Case("attention"),
    "target.layer_pattern": Case(
        "*.to_out*", {"target.layers": "pattern", "target.layer_pattern": "*.attn.*"}
    ),
    "training.batch_size": Case(2),
    "training.gradient_accumulation": Case(2),
    "training.steps": Case(STEPS - 1),
    # Below rank 22 every matrix of this model is small enough for 32-bit state.
    "training.optimizer": Case("adamw", {"target.linear_rank": 32}),
    "training.learning_rate": Case(0.001),
    "training.lr_schedule": Case("linear"),
    "training.warmup_steps": Case(1, {"training.lr_schedule": "constant_with_warmup"}),
    "training.weight_decay": Case(1.0, {"training.learning_rate": 0.1}),
    # Adam divides by the gradient's size: clipping shows where it reaches below Adam's epsilon.
    "training.max_gradient_norm": Case(1e-8),
    "training.timestep_type": Case("shift"),
    "training.timestep_bias": Case("high_noise"),
    "training.loss_type": Case("mae"),
    "training.start_from_lora": Case(START_LORA, {"target.linear_rank": 4}),
    "training.use_ema": Case(True),
    "training.ema_decay": Case(0.5, {"training.use_ema": True}),
    "training.unload_te": Case(True, {"training.cache_text_embeddings": False}),
    "training.data_type": Case("bf16"),
    "save.data_type": Case("fp16"),
    "save.key_format": Case("comfyui"),
    "save.save_every": Case(1),
    "save.max_step_saves_to_keep": Case(1, {"save.save_every": 1}),
    "regularization.differential_output_preservation": Case(
        True, {"regularization.preservation_class": "picture"}
    ),
    "regularization.trigger": Case("square", PRESERVED),
    "regularization.multiplier": Case(100.0, PRESERVED),
    "regularization.preservation_class": Case("drawing", PRESERVED),
    "regularization.every_n_steps": Case(2, PRESERVED),
    "regularization.blank_prompt_preservation": Case(True),
    "advanced.do_differential_guidance": Case(True),
    "advanced.scale": Case(2.0, {"advanced.do_differential_guidance": True}),
    "advanced.validation": Case("held_out"),
    # With this seed one of the six pictures is held out at 0.1, five at 0.5.
    "advanced.held_out_share": Case(0.5, {"advanced.validation": "held_out", "job.seed": 13}),
    "advanced.validation_dataset": Case("few-squares", VALIDATED),
    "advanced.validate_every": Case(1, PROBED),
    "advanced.validation_noise_levels": Case(2, PROBED),
    "advanced.validation_seed": Case(43, PROBED),
    "advanced.preservation_probe": Case(True),
    "advanced.early_stop": Case("off", STOPPED_EARLY),
    "advanced.patience": Case(2, STOPPED_EARLY),
    "advanced.drift_limit": Case(10.0, STOPPED_EARLY),
    "datasets.0.target_dataset": Case("more-squares"),
    # One picture of six has no caption: batches of all pictures of a size see it within two steps.
    "datasets.0.default_caption": Case("[trigger], a square", {"training.batch_size": 6}),
    "datasets.0.control_datasets": Case(["references"]),
    "datasets.0.mask_dataset": Case("masks"),
    "datasets.0.caption_extension": Case("caption"),
    "datasets.0.batch_size": Case(2),
    "datasets.0.lora_weight": Case(0.5),
    "datasets.0.num_repeats": Case(2),
    "datasets.0.is_regularization": Case(
        True, {"datasets": [{**BASE["datasets"][0], "num_repeats": 50}, BASE["datasets"][0]]}
    ),
    "datasets.0.flip_x": Case(True),
    "datasets.0.flip_y": Case(True),
    "datasets.0.allow_upscaling": Case(True, {"datasets.0.resolutions": [128]}),
    "datasets.0.caption_dropout_rate": Case(1.0),
    "datasets.0.resolutions": Case([48 + 16 * 2]),
    "sample.sample_every": Case(1, ONE_PROMPT),
    "sample.first_sample_at_step_0": Case(True, ONE_PROMPT),
    "sample.width": Case(96, ONE_PROMPT),
    "sample.height": Case(96, ONE_PROMPT),
    "sample.guidance_scale": Case(4.0, ONE_PROMPT),
    "sample.sample_steps": Case(3, ONE_PROMPT),
    "sample.seed": Case(43, ONE_PROMPT),
    "sample.walk_seed": Case(True, TWO_PROMPTS),
    "sample.prompts.0.prompt": Case("a blue square", ONE_PROMPT),
    "sample.time_out_per_sample": Case(1e-9, ONE_PROMPT),
    "sample.prompts.0.lora_strength": Case(0.0, {**ONE_PROMPT, "training.learning_rate": 0.02}),
    "sample.prompts.0.control_images": Case(["squares/1-green.png"], ONE_PROMPT),
    "sample.prompts.0.width": Case(96, ONE_PROMPT),
    "sample.prompts.0.height": Case(96, ONE_PROMPT),
    "sample.prompts.0.seed": Case(43, ONE_PROMPT),
    "sample.prompts.0.guidance_scale": Case(4.0, ONE_PROMPT),
}

# Their runs encode everything anew, in a process of its own.
LONG_CASES = {
    "training.unload_te",
    "training.data_type",
    "model.name_or_path",
    "model.vae_data_type",
    "quantization.text_encoder",
}

EXCEPTIONS: dict[str, str] = {
    "model.revision": "chooses among versions on the hub; test_hub.py downloads and refuses some",
    "sample.sampler": "has one value",
    "sample.negative_prompt": "the tiny model draws without one; test_klein.py draws with it",
    "job.resume_after_interruption": "read by the queue worker, not by the trainer; "
    "tests/integration/test_interruptions.py",
    "job.gpu": "which device computes must not change the result; "
    "test_the_gpu_setting_chooses_the_device below",
    "model.model_architecture": "another architecture needs another model's files; "
    "test_klein.py trains one through the same path",
    "quantization.keep_on_disk": "changes where the next start reads from, not results; "
    "test_kept_weights_in_runs.py compares two starts, with and without",
    "advanced.memory_plan": "decides whether a job that does not fit may run; test_memory_door.py "
    "refuses one and lets it go on",
    "training.gradient_checkpointing": "changes memory, not results; "
    "test_gradient_checkpointing_keeps_less_in_memory below",
    "model.layer_offloading": "changes where weights lie, not results; test_offloading_runs.py "
    "compares the two and counts the streamed blocks",
    "model.transformer_offload_percent": "as layer_offloading",
    "model.text_encoder_offload_percent": "as layer_offloading; test_low_vram.py",
    "model.low_vram": "changes where tensors wait, not results; test_low_vram.py, part by part",
    "training.cache_text_embeddings": "changes what stays in the cache, not results; "
    "test_caches_that_are_off_are_empty_after_the_run below",
    "datasets.0.cache_latents": "as cache_text_embeddings",
    "training.encoding_batch_size": "changes how many are encoded at once, results in rounding "
    "only; test_encoding_passes.py",
    "datasets.0.bad_files": "decides between a refusal and a run; test_bad_files.py shows both",
    "advanced.changed_dataset": "counts where a run goes on from a checkpoint; "
    "test_resumes.py: test_a_dataset_that_changed_is_named_and_the_person_decides",
    "model.attention_backend": "changes the kernels, not the results; test_attention.py",
    "advanced.compile": "changes the kernels, not the results; test_compilation.py",
    "advanced.stop_when_a_non_finite_loss_repeats": "counts in a run whose numbers are not finite; "
    "test_non_finite_runs.py",
}


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
