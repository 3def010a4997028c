"""The table of model sizes is current, and models on the disk are read as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.trainer.mini_transformer import mini_transformer
from tests.trainer.original_files import write_original_transformer
from trainer.folders import Folders
from trainer.lora import block_linears
from trainer.lora_keys import variant_layers
from trainer.model_shapes import TABLE, known_shapes, shapes_of, transformer_shapes
from trainer.panels.model import ModelPanel
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import model_shapes


@pytest.mark.slow
def test_the_table_says_what_the_classes_say() -> None:
    assert TABLE.read_text(encoding="utf-8") == model_shapes.shapes_text(), "run `make types`"


@pytest.mark.parametrize(
    ("architecture", "billions"),
    # The parameters that the models are published with (32 B, 9 B, 4 B), to the third digit.
    [("flux2-dev", 32.2), ("klein-base-9b", 9.08), ("klein-base-4b", 3.88)],
)
def test_the_models_have_the_parameters_they_are_named_after(
    architecture: str, billions: float
) -> None:
    found = known_shapes(Architecture(architecture)).transformer.parameters / 1e9
    assert found == pytest.approx(billions, abs=0.01 if billions < 10 else 0.05)


@pytest.mark.parametrize("architecture", Architecture)
def test_the_layers_are_those_that_a_lora_can_sit_on(architecture: Architecture) -> None:
    shapes = known_shapes(architecture).transformer
    assert sorted(shapes.linear_names()) == sorted(variant_layers(VARIANTS[architecture]))


def test_every_linear_layer_of_the_blocks_has_its_own_shape() -> None:
    transformer = mini_transformer(torch.float32)
    shapes = transformer_shapes(model_shapes.tensors_of(transformer))
    for name in block_linears(transformer):
        assert shapes.linear(name) == tuple(transformer.get_submodule(name).weight.shape)
    assert shapes.parameters == sum(p.numel() for p in transformer.parameters())


def test_a_model_on_the_disk_is_asked_itself(tmp_path: Path) -> None:
    """A transformer of another size than its architecture's own."""
    folder = tmp_path / "other"
    (folder / "transformer").mkdir(parents=True)
    transformer = mini_transformer(torch.float32)
    transformer.save_pretrained(folder / "transformer")
    folders = Folders(tmp_path, tmp_path, tmp_path)
    panel = ModelPanel(model_architecture=Architecture.TINY, name_or_path="other")
    found = shapes_of(panel, folders)
    assert found.transformer.hidden == 32
    assert found.transformer.parameters == sum(p.numel() for p in transformer.parameters())
    # What is not there has the architecture's own sizes.
    assert found.autoencoder == known_shapes(Architecture.TINY).autoencoder


def test_a_single_file_is_read_under_diffusers_names(tmp_path: Path) -> None:
    """Its q, k and v are one matrix."""
    write_original_transformer(BUNDLED_TINY_FOLDER, tmp_path / "one.safetensors")
    folders = Folders(tmp_path, tmp_path, tmp_path)
    panel = ModelPanel(model_architecture=Architecture.TINY, name_or_path="one.safetensors")
    assert shapes_of(panel, folders) == shapes_of(
        ModelPanel(model_architecture=Architecture.TINY), folders
    )
