"""A model part is known by its contents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from trainer import fingerprints
from trainer.fingerprints import file_sha256, part_fingerprint
from trainer.variants import BUNDLED_TINY_FOLDER

VAE = BUNDLED_TINY_FOLDER / "vae"


def test_the_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # The example of FIPS 180-2.
    assert file_sha256(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_copy_elsewhere_is_the_same_part(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(VAE, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    config["_diffusers_version"] = "0.0.1"
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "README.md").write_text("downloaded on a Tuesday")
    assert part_fingerprint(copy) == part_fingerprint(VAE)


def test_one_byte_of_the_weights_or_one_setting_makes_another_part(tmp_path: Path) -> None:
    original = part_fingerprint(VAE)
    other_weights = Path(shutil.copytree(VAE, tmp_path / "weights"))
    file = other_weights / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert part_fingerprint(other_weights) != original

    other_config = Path(shutil.copytree(VAE, tmp_path / "config"))
    config = json.loads((other_config / "config.json").read_text())
    config["batch_norm_eps"] = 1e-5
    (other_config / "config.json").write_text(json.dumps(config))
    assert part_fingerprint(other_config) != original


def test_a_large_file_is_known_by_its_size_both_ends_and_samples(tmp_path: Path) -> None:
    def with_byte_at(place: int | None, size: int = fingerprints.WHOLE_FILE_BYTES + 1) -> str:
        folder = tmp_path / f"{place}-{size}"
        folder.mkdir()
        with (folder / "model.safetensors").open("wb") as file:
            file.truncate(size)
            if place is not None:
                file.seek(place)
                file.write(b"\1")
        return part_fingerprint(folder)

    size = fingerprints.WHOLE_FILE_BYTES + 1
    third_sample = (size - fingerprints.SAMPLE_BYTES) * 2 // (fingerprints.NUM_SAMPLES - 1)
    found = [
        with_byte_at(None),
        with_byte_at(0),
        with_byte_at(size - 1),
        with_byte_at(third_sample),
        with_byte_at(None, size + 1),
    ]
    assert len(set(found)) == len(found)
