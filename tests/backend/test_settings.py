from __future__ import annotations

from pathlib import Path

import pytest

from backend.errors import BadSettings
from backend.settings import Settings, read_settings
from tests.backend.installation import settings_in
from trainer.vram_cap import vram_cap_bytes


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No .env file beside the process."""
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    return monkeypatch


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "studio.example"])
def test_an_address_that_others_reach_is_refused_without_a_token(
    bare: pytest.MonkeyPatch, host: str
) -> None:
    bare.setenv("DARKROOM_HOST", host)
    with pytest.raises(BadSettings, match=r"DARKROOM_TOKEN.*secrets"):
        read_settings()
    bare.setenv("DARKROOM_TOKEN", "long-enough-to-be-one")
    assert read_settings().host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_loopback_needs_no_token(bare: pytest.MonkeyPatch, host: str) -> None:
    bare.setenv("DARKROOM_HOST", host)
    assert read_settings().is_loopback


def test_a_bad_value_is_named_with_its_variable(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("DARKROOM_PORT", "eighty")
    bare.setenv("DARKROOM_DATABASE_URL", "postgresql://somewhere")
    with pytest.raises(BadSettings) as raised:
        read_settings()
    assert "DARKROOM_PORT=eighty" in str(raised.value)
    assert "sqlite:////absolute/path" in str(raised.value)


def test_the_env_file_is_read_and_an_empty_variable_counts_as_not_set(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("DARKROOM_PORT=9001\nDARKROOM_TOKEN=\nHF_TOKEN=hub\n")
    bare.setenv("DARKROOM_HOST", "")
    settings = read_settings()
    assert (settings.port, settings.host, settings.token) == (9001, "127.0.0.1", None)
    assert settings.hf_token is not None


def test_a_trainer_learns_the_hub_token_and_its_device_but_not_the_servers_token(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare.setenv("DARKROOM_TOKEN", "the-server's")
    settings = settings_in(tmp_path, token="the-server's")
    environment = settings.trainer_environment("cpu")
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert "the-server's" not in environment.values()
    assert settings.trainer_environment("GPU-1")["CUDA_VISIBLE_DEVICES"] == "GPU-1"


def test_the_cap_on_video_memory_reaches_the_trainer_from_the_env_file(
    bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("DARKROOM_VRAM_CAP_GB=23.5\n")
    environment = read_settings().trainer_environment("GPU-1")
    assert vram_cap_bytes(environment) == 23.5 * 2**30
    (tmp_path / ".env").write_text("DARKROOM_VRAM_CAP_GB=0\n")
    with pytest.raises(BadSettings, match="DARKROOM_VRAM_CAP_GB=0"):
        read_settings()
