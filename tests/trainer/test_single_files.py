"""Single files in the original layout become the very models that Diffusers loads from folders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
from diffusers.loaders.single_file_utils import (
    convert_flux2_transformer_checkpoint_to_diffusers,
    convert_ldm_vae_checkpoint,
)
from safetensors.torch import load_file, save_file

from tests.trainer.original_files import write_original_autoencoder, write_original_transformer
from tests.trainer.toy_klein import save_toy_klein
from trainer.errors import BadModel, Severity
from trainer.latents import load_autoencoder
from trainer.model_loading import load_transformer
from trainer.original_layout import read_header, transformer_config
from trainer.single_file_check import autoencoder_file_problems, transformer_file_problems
from trainer.variants import BUNDLED_TINY_FOLDER, SCHEDULER_CONFIG, VARIANTS, Architecture

TINY, KLEIN = VARIANTS[Architecture.TINY], VARIANTS[Architecture.KLEIN_BASE_4B]


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("klein") / "toy-klein"
    save_toy_klein(folder)
    return folder


@pytest.fixture(params=["dev", "klein"])
def model(request: pytest.FixtureRequest, klein: Path) -> Path:
    return BUNDLED_TINY_FOLDER if request.param == "dev" else klein


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_single_file_is_the_transformer_of_the_folder(
    model: Path, tmp_path: Path, prefix: str
) -> None:
    file = tmp_path / "flux2.safetensors"
    write_original_transformer(model, file, prefix=prefix)
    loaded = load_transformer(
        file, dtype=torch.float32, device="cpu", quantization="none", progress=lambda *_: None
    )
    theirs = Flux2Transformer2DModel.from_pretrained(model / "transformer", dtype=torch.float32)
    assert isinstance(theirs, Flux2Transformer2DModel)
    for key, value in loaded.config.items():
        if not key.startswith("_"):
            expected = theirs.config[key]
            assert list(value) == list(expected) if key == "axes_dims_rope" else value == expected
    own, expected = loaded.state_dict(), theirs.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[name], expected[name]) for name in own)


def test_the_conversion_is_that_of_diffusers(tmp_path: Path) -> None:
    file = tmp_path / "flux2.safetensors"
    write_original_transformer(BUNDLED_TINY_FOLDER, file)
    theirs = convert_flux2_transformer_checkpoint_to_diffusers(load_file(file))
    ours = load_transformer(
        file, dtype=torch.bfloat16, device="cpu", quantization="none", progress=lambda *_: None
    ).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], value.bfloat16()) for name, value in theirs.items())


def test_a_single_file_is_quantized_while_it_loads(tmp_path: Path) -> None:
    file = tmp_path / "flux2.safetensors"
    write_original_transformer(BUNDLED_TINY_FOLDER, file)
    seen: list[tuple[int, int]] = []
    loaded, theirs = (
        load_transformer(
            path,
            dtype=torch.float32,
            device="cpu",
            quantization="float8",
            progress=lambda *counts: seen.append(counts),
        )
        for path in (file, BUNDLED_TINY_FOLDER / "transformer")
    )
    name = "transformer_blocks.0.attn.add_k_proj"
    ours, expected = (model.get_submodule(name).weight for model in (loaded, theirs))
    assert type(ours) is not torch.nn.Parameter
    assert torch.equal(ours.dequantize(), expected.dequantize())  # type: ignore[operator]
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_single_file_is_the_autoencoder_of_the_folder(tmp_path: Path, dtype: torch.dtype) -> None:
    file = tmp_path / "ae.safetensors"
    write_original_autoencoder(BUNDLED_TINY_FOLDER, file)
    ours = load_autoencoder(file, dtype=dtype, device="cpu", architecture=Architecture.TINY)
    theirs = AutoencoderKLFlux2.from_pretrained(BUNDLED_TINY_FOLDER / "vae", dtype=dtype)
    assert isinstance(theirs, AutoencoderKLFlux2)
    own, expected = ours.state_dict(), theirs.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[name], expected[name]) for name in own)
    assert {k: v for k, v in ours.config.items() if not k.startswith("_")} == {
        k: v for k, v in theirs.config.items() if not k.startswith("_")
    }


def test_the_autoencoders_names_are_those_of_diffusers_older_conversion(tmp_path: Path) -> None:
    """Diffusers converts this family of autoencoders when asked for the plain class."""
    file = tmp_path / "ae.safetensors"
    write_original_autoencoder(BUNDLED_TINY_FOLDER, file)
    plain = {
        name.replace("encoder.quant", "quant").replace("decoder.post", "post"): value
        for name, value in load_file(file).items()
        if not name.startswith("bn.")
    }
    config = {"down_block_types": 4 * ["DownEncoderBlock2D"], "layers_per_block": 1}
    config |= {"up_block_types": 4 * ["UpDecoderBlock2D"]}
    theirs = convert_ldm_vae_checkpoint(plain, config)
    ours = load_autoencoder(
        file, dtype=torch.float32, device="cpu", architecture=Architecture.TINY
    ).state_dict()
    assert {name for name in ours if not name.startswith("bn.")} == set(theirs)
    for name, value in theirs.items():
        assert torch.equal(ours[name], value.float().reshape(ours[name].shape)), name


def test_the_full_autoencoder_has_the_sizes_of_diffusers_class(tmp_path: Path) -> None:
    """The bundled one is smaller; a file of it does not fit where the real one is expected."""
    file = tmp_path / "ae.safetensors"
    write_original_autoencoder(BUNDLED_TINY_FOLDER, file)
    with pytest.raises(BadModel, match="does not fit"):
        load_autoencoder(file, dtype=torch.float32, device="cpu")


def test_the_schedulers_settings_are_those_of_the_model() -> None:
    theirs = FlowMatchEulerDiscreteScheduler.from_pretrained(BUNDLED_TINY_FOLDER / "scheduler")
    ours = FlowMatchEulerDiscreteScheduler(**SCHEDULER_CONFIG)
    assert {k: v for k, v in ours.config.items() if not k.startswith("_")} == {
        k: v
        for k, v in theirs.config.items()  # type: ignore[union-attr]
        if not k.startswith("_")
    }


def test_a_file_says_its_sizes_by_its_shapes(klein: Path, tmp_path: Path) -> None:
    file = tmp_path / "klein.safetensors"
    write_original_transformer(klein, file)
    config = transformer_config(read_header(file))
    assert (config["num_layers"], config["num_single_layers"]) == (5, 20)
    assert (config["num_attention_heads"], config["attention_head_dim"]) == (2, 16)
    assert (config["joint_attention_dim"], config["mlp_ratio"]) == (48, 2.0)
    assert config["guidance_embeds"] is False


def test_the_right_files_pass_the_door(klein: Path, tmp_path: Path) -> None:
    dev, of_klein, ae = tmp_path / "dev.st", tmp_path / "klein.st", tmp_path / "ae.st"
    write_original_transformer(BUNDLED_TINY_FOLDER, dev)
    write_original_transformer(klein, of_klein)
    write_original_autoencoder(BUNDLED_TINY_FOLDER, ae)
    assert transformer_file_problems(dev, TINY) == []
    assert transformer_file_problems(of_klein, KLEIN) == []
    assert autoencoder_file_problems(ae) == []
    (problem,) = transformer_file_problems(of_klein, TINY)
    assert problem.code == "model_of_another_size"
    assert "5 double and 20 single blocks and no guidance embedding" in problem.message
    assert transformer_file_problems(ae, TINY)[0].code == "model_of_another_kind"
    assert autoencoder_file_problems(dev)[0].code == "autoencoder_of_another_kind"


def test_a_file_cut_short_or_of_another_sort_is_named(tmp_path: Path) -> None:
    file = tmp_path / "dev.safetensors"
    write_original_transformer(BUNDLED_TINY_FOLDER, file)
    whole = file.read_bytes()
    for spoilt in (whole[:-10], whole[:4], b"GGUF" + whole, b"{}"):
        file.write_bytes(spoilt)
        (problem,) = transformer_file_problems(file, TINY)
        assert (problem.code, problem.severity) == ("model_damaged", Severity.ERROR)
        assert str(file) in problem.message


def test_files_quantized_elsewhere_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "dev.safetensors"
    write_original_transformer(BUNDLED_TINY_FOLDER, file)
    tensors = load_file(file)
    name = "double_blocks.0.img_attn.qkv"
    save_file({**tensors, f"{name}.weight_scale": torch.ones(1)}, file)
    (problem,) = transformer_file_problems(file, TINY)
    assert problem.code == "model_quantized"
    assert f"{name}.weight_scale" in problem.message
    save_file({**tensors, f"{name}.weight": torch.ones(4, 4, dtype=torch.uint8)}, file)
    assert transformer_file_problems(file, TINY)[0].code == "model_quantized"


def test_a_tensor_too_many_or_missing_is_named_when_it_loads(tmp_path: Path) -> None:
    file = tmp_path / "dev.safetensors"
    write_original_transformer(BUNDLED_TINY_FOLDER, file)
    tensors = load_file(file)

    def load() -> None:
        load_transformer(
            file, dtype=torch.float32, device="cpu", quantization="none", progress=lambda *_: None
        )

    save_file({**tensors, "vector_in.in_layer.weight": torch.ones(2, 2)}, file)
    with pytest.raises(BadModel, match="vector_in"):
        load()
    tensors.pop("double_blocks.1.txt_attn.qkv.weight")
    save_file(tensors, file)
    with pytest.raises(BadModel, match="lacks 3 tensors"):
        load()
