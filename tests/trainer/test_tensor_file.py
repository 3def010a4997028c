"""Tensor files written one tensor at a time: the format's own reader takes them, damage shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trainer.tensor_file import DamagedTensorFile, TensorFileReader, TensorFileWriter

TENSORS = {
    "blocks.0.weight": torch.randn(6, 7).to(torch.float8_e4m3fn),
    "blocks.0.scale": torch.randn(6, 1).bfloat16(),
    "codes": torch.randint(-127, 127, (3, 5), dtype=torch.int8),
    "packed": torch.randint(0, 255, (11,), dtype=torch.uint8),
    "norm": torch.randn(9),
    "one number": torch.tensor([3.5]),
    "ümlaut": torch.randn(2, 2).half(),
}


def written(path: Path) -> Path:
    with TensorFileWriter(path, TENSORS) as file:
        for name, tensor in TENSORS.items():
            file.add(name, tensor)
        file.finish({"key": "abc"})
    return path


def test_what_was_written_is_read_by_the_formats_own_library(tmp_path: Path) -> None:
    found = load_file(written(tmp_path / "a.safetensors"))
    own = {name: value for name, value in found.items() if not name.startswith("_padding.")}
    assert own.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert own[name].dtype == tensor.dtype
        assert torch.equal(own[name].float(), tensor.float())


@pytest.mark.parametrize("prove", [True, False])
def test_every_tensor_lies_where_it_can_be_computed_with(tmp_path: Path, prove: bool) -> None:
    with TensorFileReader(written(tmp_path / "a.safetensors"), prove=prove) as file:
        assert file.metadata["key"] == "abc"
        for name, tensor in TENSORS.items():
            found = file.read(name)
            assert torch.equal(found.float(), tensor.float())
            assert found.data_ptr() % 64 == 0


def test_every_flipped_bit_of_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors")
    whole = path.read_bytes()
    needle = TENSORS["norm"].numpy().tobytes()
    place = whole.index(needle)
    for offset in (0, len(needle) // 2, len(needle) - 1):
        spoiled = bytearray(whole)
        spoiled[place + offset] ^= 1
        path.write_bytes(spoiled)
        with TensorFileReader(path, prove=True) as file:
            assert torch.equal(file.read("codes"), TENSORS["codes"])
            with pytest.raises(DamagedTensorFile, match="norm"):
                file.read("norm")


@pytest.mark.parametrize("keep_bytes", [0, 5, 1000, -1])
def test_a_file_cut_short_is_damaged(tmp_path: Path, keep_bytes: int) -> None:
    path = written(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:keep_bytes])
    with pytest.raises(DamagedTensorFile, match="cannot be read"):
        TensorFileReader(path, prove=True)


def test_a_file_that_was_not_finished_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with TensorFileWriter(path, ["norm"]) as file:
        file.add("norm", TENSORS["norm"])
    with pytest.raises(DamagedTensorFile):
        TensorFileReader(path, prove=True)


def test_a_tensor_that_is_not_there_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors")
    with (
        TensorFileReader(path, prove=True) as file,
        pytest.raises(DamagedTensorFile, match="lacks another"),
    ):
        file.read("another")
