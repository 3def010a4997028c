"""Text encoders from folders of their own, and cut where nobody reads on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Mistral3ForConditionalGeneration, Qwen3ForCausalLM

from tests.trainer.toy_klein import save_toy_klein
from trainer.errors import BadModel
from trainer.folders import Folders
from trainer.model_check import source_problems
from trainer.model_parts import ModelParts, local_parts, model_source
from trainer.panels.model import ModelPanel
from trainer.prompt_encoding import PromptEncoder, load_prompt_encoder
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

TINY, KLEIN = VARIANTS[Architecture.TINY], VARIANTS[Architecture.KLEIN_BASE_4B]
PROMPT = "zorvex, a red square"


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("klein") / "toy-klein"
    save_toy_klein(folder)
    return folder


def _load(path: Path, variant: Any, **options: Any) -> PromptEncoder:
    return load_prompt_encoder(
        path, variant=variant, dtype=torch.float32, device="cpu", quantization="none", **options
    )


def _hidden_states(model: Any, ids: torch.Tensor, layers: tuple[int, ...]) -> list[torch.Tensor]:
    with torch.no_grad():
        output = model(input_ids=ids, output_hidden_states=True, use_cache=False)
    return [output.hidden_states[layer] for layer in layers]


@pytest.mark.parametrize("family", ["Mistral3", "Qwen3"])
def test_the_cut_encoder_equals_the_whole_one_at_every_state_that_is_read(
    family: str, klein: Path
) -> None:
    """The last state read would pass the whole model's final norm without the identity there."""
    is_dev = family == "Mistral3"
    folder, variant = (BUNDLED_TINY_FOLDER, TINY) if is_dev else (klein, KLEIN)
    whole_class = Mistral3ForConditionalGeneration if is_dev else Qwen3ForCausalLM
    whole = whole_class.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
    cut = _load(folder, variant).pipeline.text_encoder
    ids = torch.arange(24)[None] % 7 + 40
    layers = variant.text_encoder_out_layers
    for ours, theirs in zip(
        _hidden_states(cut.model, ids, layers),
        _hidden_states(whole.model, ids, layers),
        strict=True,
    ):
        assert torch.equal(ours, theirs)
    text_model = whole.model.language_model if is_dev else whole.model
    assert len(text_model.layers) > max(layers)
    after_norm = text_model.norm(_hidden_states(cut.model, ids, layers[-1:])[0])
    assert not torch.equal(after_norm, _hidden_states(whole.model, ids, layers[-1:])[0])


def _as_shards(encoder: Path, folder: Path, *, with_index: bool, names: str) -> Path:
    """The encoder's weights in two files, as the hub has them."""
    folder.mkdir()
    shutil.copy(encoder / "config.json", folder)
    tensors = sorted(load_file(encoder / "model.safetensors").items())
    half = len(tensors) // 2
    weight_map: dict[str, str] = {}
    for number, part in enumerate((tensors[:half], tensors[half:]), start=1):
        file = names.format(number)
        save_file(dict(part), folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys((name for name, _ in part), file)
    if with_index:
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize(
    ("with_index", "names"),
    [
        (True, "model-0000{}-of-00002.safetensors"),
        (False, "model-0000{}-of-00002.safetensors"),
        (False, "part{}.safetensors"),
    ],
)
def test_shards_with_and_without_an_index_are_the_same_encoder(
    klein: Path, tmp_path: Path, with_index: bool, names: str
) -> None:
    folder = _as_shards(
        klein / "text_encoder", tmp_path / "qwen3", with_index=with_index, names=names
    )
    ours = _load(folder, KLEIN, tokenizer=klein / "tokenizer").encode(PROMPT)
    assert torch.equal(ours, _load(klein, KLEIN).encode(PROMPT))


@pytest.mark.parametrize("prefix", ["model.language_model.", "language_model.", ""])
def test_an_encoder_is_found_under_every_name_that_transformers_has_saved_it(
    tmp_path: Path, prefix: str
) -> None:
    folder = Path(shutil.copytree(BUNDLED_TINY_FOLDER / "text_encoder", tmp_path / "mistral"))
    tensors = load_file(folder / "model.safetensors")
    own = ("model.language_model.", "language_model.model.")
    renamed = {
        prefix + name.removeprefix(own[0]).removeprefix(own[1]): value
        for name, value in tensors.items()
        if name.startswith(own)
    }
    assert len(renamed) > 20
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    ours = _load(folder, TINY, tokenizer=BUNDLED_TINY_FOLDER / "tokenizer").encode(PROMPT)
    assert torch.equal(ours, _load(BUNDLED_TINY_FOLDER, TINY).encode(PROMPT))


def test_an_encoder_without_the_parts_that_nobody_reads_will_do(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLED_TINY_FOLDER / "text_encoder", tmp_path / "mistral"))
    tensors = load_file(folder / "model.safetensors")
    kept = {
        name: value
        for name, value in tensors.items()
        if not any(part in name for part in ("vision_tower", "multi_modal_projector", "lm_head"))
    }
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    ours = _load(folder, TINY, tokenizer=BUNDLED_TINY_FOLDER / "tokenizer").encode(PROMPT)
    assert torch.equal(ours, _load(BUNDLED_TINY_FOLDER, TINY).encode(PROMPT))


def test_another_family_of_encoder_is_refused_by_name(klein: Path) -> None:
    with pytest.raises(BadModel, match=r"is a qwen3; .* needs a mistral3"):
        _load(klein / "text_encoder", TINY)


def test_an_encoder_without_a_tokenizer_anywhere_is_refused(klein: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(klein / "text_encoder", tmp_path / "qwen3"))
    with pytest.raises(BadModel, match="no tokenizer"):
        _load(folder, KLEIN)


# ------------------------------------------------------------------------------- the Model panel


def _folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")


def _parts(tmp_path: Path, **fields: Any) -> ModelParts:
    panel = ModelPanel(model_architecture=Architecture.TINY, **fields)
    return local_parts(panel, _folders(tmp_path))


def test_each_path_takes_the_place_of_its_part(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(BUNDLED_TINY_FOLDER, models / "other")
    parts = _parts(tmp_path, autoencoder_path="other/vae", text_encoder_path="other")
    assert parts.transformer == BUNDLED_TINY_FOLDER / "transformer"
    assert parts.autoencoder == models / "other" / "vae"
    assert parts.text_encoder == models / "other" / "text_encoder"
    assert parts.tokenizer == BUNDLED_TINY_FOLDER / "tokenizer"
    assert parts.scheduler == BUNDLED_TINY_FOLDER / "scheduler"
    absolute = _parts(tmp_path, name_or_path=str(models / "other"))
    assert absolute.transformer == models / "other" / "transformer"


def test_a_single_file_with_an_encoder_takes_the_encoders_tokenizer(tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(BUNDLED_TINY_FOLDER / "text_encoder", models / "encoder")
    shutil.copytree(BUNDLED_TINY_FOLDER / "tokenizer", models / "encoder", dirs_exist_ok=True)
    (models / "flux2.safetensors").write_bytes(b"")
    alone = _parts(tmp_path, name_or_path="flux2.safetensors")
    assert alone.tokenizer == BUNDLED_TINY_FOLDER / "tokenizer"
    parts = _parts(tmp_path, name_or_path="flux2.safetensors", text_encoder_path="encoder")
    assert parts.transformer == models / "flux2.safetensors"
    assert parts.tokenizer == parts.text_encoder == models / "encoder"
    assert parts.autoencoder == BUNDLED_TINY_FOLDER / "vae"
    assert parts.scheduler is None


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"autoencoder_path": "nowhere"}, "autoencoder_missing", "model.autoencoder_path"),
        ({"autoencoder_path": "flux1"}, "autoencoder_of_another_kind", "model.autoencoder_path"),
        ({"text_encoder_path": "nowhere"}, "text_encoder_missing", "model.text_encoder_path"),
        ({"text_encoder_path": "empty"}, "model_incomplete", "model.text_encoder_path"),
        ({"text_encoder_path": "shards"}, "model_incomplete", "model.text_encoder_path"),
        ({"name_or_path": "nowhere"}, "model_missing", "model.name_or_path"),
    ],
)
def test_a_path_that_cannot_be_used_is_named_at_its_field(
    tmp_path: Path, fields: dict[str, str], code: str, field: str
) -> None:
    folders = _folders(tmp_path)
    for name, config in (
        ("flux1", {"_class_name": "AutoencoderKL"}),
        ("empty", {}),
        ("shards", {}),
    ):
        (folders.models / name).mkdir(parents=True)
        (folders.models / name / "config.json").write_text(json.dumps(config))
    (folders.models / "shards" / "model-00001-of-00003.safetensors").write_bytes(b"some")
    panel = ModelPanel(model_architecture=Architecture.TINY, **fields)  # type: ignore[arg-type]
    (problem,) = source_problems(model_source(panel, folders))
    assert (problem.code, problem.field) == (code, field)
    if "shards" in fields.values():
        assert "2 of 3, 3 of 3" in problem.message
