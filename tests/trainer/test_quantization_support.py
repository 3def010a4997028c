"""What this machine can run is told from what is installed, and the door says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.jobs import form
from tests.trainer.short_runs import job_with
from trainer import quantization_support
from trainer.config import JobConfig
from trainer.job_file import parse_job
from trainer.quantization_kinds import QUANTIZATION_KINDS
from trainer.quantization_support import (
    kind_problems,
    kinds_for_the_cpu_only,
    obstacle,
    torch_platform,
    unavailable_kinds,
)

TORCH_FOR_CUDA_12_9 = "cuda: Optional[str] = '12.9'\nhip: Optional[str] = None\n"
TORCH_FOR_CPU = "cuda: Optional[str] = None\nhip: Optional[str] = None\n"


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that the probe looks into instead of the installed ones."""
    for name in ("torch", "bitsandbytes"):
        (tmp_path / name).mkdir()
    (tmp_path / "torch" / "version.py").write_text(TORCH_FOR_CUDA_12_9)
    monkeypatch.setattr(quantization_support, "_package_folder", lambda name: tmp_path / name)
    monkeypatch.delenv("BNB_CUDA_VERSION", raising=False)
    return tmp_path


def nf4_job(gpu: str) -> JobConfig:
    return parse_job(job_with({"quantization.transformer": "nf4", "job.gpu": gpu}))


def test_this_installation_runs_every_kind() -> None:
    assert unavailable_kinds() == {}
    for kind in QUANTIZATION_KINDS:
        assert obstacle(kind, on_gpu=False) is None
    assert kind_problems(nf4_job("cpu")) == []


@pytest.mark.parametrize(
    ("library", "runs"),
    [
        ("libbitsandbytes_cuda129.so", True),
        ("libbitsandbytes_cuda124.so", True),  # bitsandbytes takes the nearest of the same major
        ("libbitsandbytes_cuda130.so", False),
        ("libbitsandbytes_cpu.so", False),
        ("libbitsandbytes_rocm72.so", False),
    ],
)
def test_nf4_on_a_gpu_needs_a_library_for_torchs_cuda(
    site_packages: Path, library: str, runs: bool
) -> None:
    (site_packages / "bitsandbytes" / library).touch()
    assert torch_platform() == ("cuda", 12, 9)
    problems = kind_problems(nf4_job("any"))
    assert (problems == []) == runs
    if not runs:
        (problem,) = problems
        assert problem.code == "quantization_unavailable"
        assert problem.field == "quantization.transformer"
        assert "NF4 for the Transformer" in problem.message
        assert "CUDA 12.9" in problem.message
        assert "choose another kind" in problem.hint
    assert kind_problems(nf4_job("cpu")) == []  # the library at hand serves the CPU


def test_a_forced_library_that_is_not_there_is_seen(
    site_packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site_packages / "bitsandbytes" / "libbitsandbytes_cuda129.so").touch()
    monkeypatch.setenv("BNB_CUDA_VERSION", "118")
    assert len(kind_problems(nf4_job("any"))) == 1


def test_nf4_that_only_the_cpu_can_run_is_offered_with_the_reason(site_packages: Path) -> None:
    """As bitsandbytes' wheels are: the library for CPUs is in all of them."""
    (site_packages / "bitsandbytes" / "libbitsandbytes_cpu.so").touch()
    assert unavailable_kinds() == {}
    reasons = kinds_for_the_cpu_only()
    assert set(reasons) == {"nf4"}
    assert reasons["nf4"].startswith("on the CPU only; bitsandbytes has no library for CUDA 12.9:")
    schema = form.job_schema.__wrapped__().json_schema_of_job
    fields = schema["$defs"]["QuantizationPanel"]["properties"]
    assert fields["transformer"]["limited"] == reasons
    assert fields["text_encoder"]["limited"] == reasons
    assert "limited" not in fields["keep_on_disk"]
    (site_packages / "bitsandbytes" / "libbitsandbytes_cuda129.so").touch()
    assert kinds_for_the_cpu_only() == {}


def test_an_installation_without_any_library_lacks_nf4_and_the_form_says_so(
    site_packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site_packages / "torch" / "version.py").write_text(TORCH_FOR_CPU)
    unavailable = unavailable_kinds()
    assert set(unavailable) == {"nf4"}
    assert "reinstall bitsandbytes" in unavailable["nf4"]
    schema = form.job_schema.__wrapped__().json_schema_of_job
    fields = schema["$defs"]["QuantizationPanel"]["properties"]
    assert fields["transformer"]["unavailable"] == unavailable
    assert fields["text_encoder"]["unavailable"] == unavailable


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization_support, "_is_installed", lambda name: name == "bitsandbytes")
    job = parse_job(job_with({"quantization.text_encoder": "int4"}))
    (problem,) = kind_problems(job)
    assert problem.field == "quantization.text_encoder"
    assert "optimum-quanto is not installed" in problem.message
    assert "`pip install optimum-quanto`" in problem.hint
    assert set(unavailable_kinds()) == {"float8", "int4"}
