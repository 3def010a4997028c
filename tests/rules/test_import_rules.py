"""Who may import whom, as far as import-linter cannot say it (its contracts: pyproject.toml).

The server and the worker know the trainer by its contract only, and never load torch: a server that
did would start in ten seconds in place of one, hold a gigabyte, and might touch the GPU.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What the backend may import from the trainer. None of it may need torch.
CONTRACT = {
    "trainer.advice",
    "trainer.ai_toolkit",
    "trainer.captions",
    "trainer.comfyui_workflow",
    "trainer.commands",
    "trainer.companions",
    "trainer.config",
    "trainer.config_paths",
    "trainer.dataset_checks",
    "trainer.dataset_index",
    "trainer.dataset_summary",
    "trainer.disk_places",
    "trainer.disk_room",
    "trainer.door",
    "trainer.drawing_config",
    "trainer.drawing_door",
    "trainer.durable_write",
    "trainer.early_stop",
    "trainer.errors",
    "trainer.events",
    "trainer.file_memory",
    "trainer.folder_lock",
    "trainer.folders",
    "trainer.hub",
    "trainer.hub_lora",
    "trainer.job_file",
    "trainer.job_folder",
    "trainer.live_changes",
    "trainer.lora_fit",
    "trainer.lora_header",
    "trainer.lora_keys",
    "trainer.lora_renaming",
    "trainer.machine",
    "trainer.machine_memory",
    "trainer.memory_changes",
    "trainer.memory_check",
    "trainer.memory_failure",
    "trainer.memory_kills",
    "trainer.memory_plan",
    "trainer.memory_verdict",
    "trainer.panels",
    "trainer.peak_memory",
    "trainer.pictures",
    "trainer.presets",
    "trainer.quantization_kinds",
    "trainer.quantization_support",
    "trainer.resume_rules",
    "trainer.retention",
    "trainer.sample_check",
    "trainer.start_check",
    "trainer.variants",
    "trainer.vram_cap",
}
HEAVY = ("torch", "diffusers", "transformers", "peft", "bitsandbytes", "optimum")


def module_exists(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def trainer_modules_imported_by(source: str) -> set[str]:
    """Modules of the trainer that a file imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in submodules if module_exists(name)}
            found |= modules or {node.module}
    return {name for name in found if name.split(".")[0] == "trainer"}


@pytest.mark.parametrize(
    "file", sorted((ROOT / "backend").rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT))
)
def test_the_backend_imports_only_the_contract(file: Path) -> None:
    beyond = {
        name
        for name in trainer_modules_imported_by(file.read_text())
        if name not in CONTRACT and name.rpartition(".")[0] not in CONTRACT
    }
    assert not beyond, (
        f"{file.relative_to(ROOT)} imports {', '.join(sorted(beyond))}. The backend knows the "
        "trainer by its contract only. If the module needs no torch and describes what both sides "
        "must agree on, add it to CONTRACT here and in pyproject.toml."
    )


def test_import_linter_watches_the_same_contract() -> None:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (torch_free,) = [
        c for c in tables["contracts"] if set(HEAVY) <= set(c.get("forbidden_modules", ()))
    ]
    watched = set(torch_free["source_modules"])
    assert watched == {"backend"} | {name for name in CONTRACT if module_exists(name)}


@pytest.mark.parametrize(
    "module",
    ["backend.main", "backend.cli", "backend.worker", "backend.worker.__main__", *sorted(CONTRACT)],
)
def test_it_loads_without_torch(module: str) -> None:
    """In a fresh interpreter, since import-linter does not see every path an import can take."""
    if not module_exists(module):
        pytest.fail(f"{module} is not there: take it off this list, or out of CONTRACT.")
    look = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]", f"{module} loads what only the trainer may"


def test_the_rule_sees_imports_of_every_form() -> None:
    source = (
        "import trainer.loop\nfrom trainer import config\nfrom trainer.lora import build\n"
        "def late():\n    from trainer import durable_write\nimport os, trainerx\n"
    )
    assert trainer_modules_imported_by(source) == {
        "trainer.loop",
        "trainer.config",
        "trainer.lora",
        "trainer.durable_write",
    }
