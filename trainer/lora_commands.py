"""The commands for LoRA files: convert, inspect, merge."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from trainer.errors import EXIT_COMPLETED, BadLora, BadModel, Severity
from trainer.folders import Folders, expanded
from trainer.variants import BUNDLED_TINY_FOLDER

COMMANDS = ("convert", "inspect", "merge")


def add_lora_commands(commands: Any) -> None:
    """Add the three to the trainer's command line."""
    convert = commands.add_parser("convert", help="write a LoRA file in another program's names")
    convert.add_argument("source", type=Path, metavar="IN", help="a LoRA file of any format")
    convert.add_argument("target", type=Path, metavar="OUT", help="the file to write")
    convert.add_argument(
        "--format",
        required=True,
        choices=("diffusers", "comfyui"),
        help="diffusers: its names, which ComfyUI of today reads too; the only ones for LoKr. "
        "comfyui: the reference code's names, q, k and v fused",
    )

    inspect = commands.add_parser("inspect", help="say what is in a LoRA file")
    inspect.add_argument("file", type=Path, metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="as JSON, with the whole recipe")

    merge = commands.add_parser("merge", help="add a LoRA or LoKr into its base model for good")
    merge.add_argument(
        "--model",
        required=True,
        metavar="M",
        help="a folder in Diffusers layout, one file of the transformer, a name in the models "
        "folder, or tiny",
    )
    merge.add_argument("--lora", required=True, type=Path, metavar="F")
    merge.add_argument("--strength", type=float, default=1.0, metavar="S", help="1 by default")
    merge.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="folder, or file for one file"
    )
    merge.add_argument("--models", type=Path, metavar="DIR", help="folder that models lie in")


def run_lora_command(options: argparse.Namespace, folders: Folders) -> int:
    """Run one of COMMANDS; its exit code. Raises BadLora, BadModel, DiskFull, NonFinite."""
    if options.command == "convert":
        return _convert(options)
    if options.command == "inspect":
        return _inspect(options)
    return _merge(options, folders)


def _convert(options: argparse.Namespace) -> int:
    from trainer.lora_convert import convert_lora

    written = convert_lora(options.source, options.target, key_format=options.format)
    print(f"{options.target}: {written.num_layers} layers, norm {written.norm:.4g}")
    return EXIT_COMPLETED


def _inspect(options: argparse.Namespace) -> int:
    from trainer.lora_inspect import inspect_lora

    found = inspect_lora(options.file)
    print(found.as_json() if options.json else found.as_text())
    is_sound = all(problem.severity != Severity.ERROR for problem in found.problems)
    return EXIT_COMPLETED if is_sound else BadLora.exit_code


def _merge(options: argparse.Namespace, folders: Folders) -> int:
    from trainer.lora_merge import merge_lora

    def progress(done: int, total: int) -> None:
        if done == total or done % 20 == 0:
            print(f"{done}/{total} tensors", file=sys.stderr)

    merged = merge_lora(
        _model(options.model, folders),
        options.lora,
        options.output,
        strength=options.strength,
        progress=progress,
    )
    print(f"{options.output}: {merged.num_layers} layers added into {merged.num_tensors} tensors")
    return EXIT_COMPLETED


def _model(name: str, folders: Folders) -> Path:
    if name == "tiny":
        return BUNDLED_TINY_FOLDER
    candidates = [expanded(name), folders.models / name]
    for path in candidates:
        if path.exists():
            return path
    raise BadModel(
        f"There is no model {name}, neither here nor in {folders.models}.",
        "Give its folder or file.",
        code="model_missing",
        params={"name": name},
    )
