"""The command that draws one picture from any LoRA: `python -m trainer sample`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.config import JobConfig
from trainer.drawing_config import NO_PICTURES, as_job
from trainer.drawing_door import examine_drawing
from trainer.errors import EXIT_COMPLETED, DarkroomError, JobRefused
from trainer.events import Event, Progress
from trainer.folders import Folders
from trainer.lora_header import read_metadata, refuse_unreadable
from trainer.machine import Machine
from trainer.model_obtaining import obtain_parts
from trainer.panels.sample import MAX_CONTROL_IMAGES
from trainer.quantization_kinds import QUANTIZATION_KINDS
from trainer.variants import Architecture

COMMAND = "sample"


def add_sample_command(commands: Any) -> None:
    """Add it to the trainer's command line."""
    sample = commands.add_parser(COMMAND, help="draw a picture with a LoRA file, or without one")
    sample.add_argument(
        "--model",
        default="",
        metavar="M",
        help="an architecture (flux2-dev, klein-base-4b, tiny, ...), or what Name or Path takes; "
        "blank: the model that the LoRA says it was trained on",
    )
    sample.add_argument(
        "--architecture",
        choices=[architecture.value for architecture in Architecture],
        help="of a model given by path, if the LoRA does not say",
    )
    sample.add_argument("--revision", default="", help="branch, tag or commit on the hub")
    sample.add_argument("--autoencoder", default="", metavar="PATH", help="another autoencoder")
    sample.add_argument("--text-encoder", default="", metavar="PATH", help="another text encoder")
    sample.add_argument("--lora", type=Path, metavar="FILE", help="LoRA or LoKr of any program")
    sample.add_argument("--strength", type=float, default=1.0, metavar="S", help="1 by default")
    sample.add_argument("--prompt", required=True, help="what to draw")
    sample.add_argument(
        "--negative-prompt", default="", help="what klein is drawn away from above guidance 1"
    )
    sample.add_argument(
        "--control-image",
        action="append",
        default=[],
        type=Path,
        metavar="F",
        help=f"a reference picture, up to {MAX_CONTROL_IMAGES} times",
    )
    sample.add_argument("--seed", type=int, default=42, help="42 by default")
    sample.add_argument("--steps", type=int, help="default: the architecture's")
    sample.add_argument("--guidance", type=float, help="default: the architecture's")
    sample.add_argument("--width", type=int, help="px, a multiple of 16; default by architecture")
    sample.add_argument("--height", type=int, help="px, a multiple of 16; default by architecture")
    sample.add_argument("--data-type", choices=("bf16", "fp32"), default="bf16")
    sample.add_argument("--vae-data-type", choices=("bf16", "fp32"), default="bf16")
    sample.add_argument(
        "--quantization",
        choices=QUANTIZATION_KINDS,
        default="float8",
        help="of the transformer and the text encoder; float8 by default",
    )
    sample.add_argument("--gpu", choices=("any", "cpu"), default="any")
    sample.add_argument(
        "--offload",
        choices=("off", "on", "auto"),
        default="auto",
        help="stream the transformer's blocks from host memory; auto: as few as the card needs",
    )
    sample.add_argument(
        "--low-vram", action="store_true", help="the weights make way while the picture is decoded"
    )
    sample.add_argument("--models", type=Path, metavar="DIR", help="folder that models lie in")
    sample.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.png")


def run_sample_command(
    options: argparse.Namespace,
    folders: Folders,
    machine_for: Callable[[JobConfig], Machine | None],
) -> int:
    """Draw the picture; the exit code. Raises the errors of errors.py."""
    if options.output.suffix.lower() != ".png":
        raise JobRefused(
            f"--output {options.output} cannot be used.",
            "The recipe is kept in a PNG: end the name in .png.",
            code="bad_option",
        )
    verdict = examine_drawing(_as_drawing(options), folders, machine_for)
    try:
        drawing = verdict.admitted()
    except DarkroomError as error:
        raise _at_options(error) from error

    from trainer.drawing import encoded_prompts, load_session, read_loras
    from trainer.model_loading import choose_device
    from trainer.offload_settling import settle_offloading
    from trainer.sampling import sample_requests, write_picture
    from trainer.vram_limit import cap_vram

    parts = obtain_parts(
        drawing.model,
        folders,
        begin_download=lambda name: print(f"downloading {name}", file=sys.stderr),
        progress=lambda done, total, name: _say(done, total, f"MB, {name}"),
        stop_requested=lambda: False,
    )
    device = choose_device(drawing.gpu)
    cap_vram(device)
    loras = read_loras(verdict.loras, parts)
    settled = settle_offloading(as_job(drawing, verdict.loras), NO_PICTURES, folders, device=device)
    try:
        with encoded_prompts(
            settled, folders, device=device, report=_hear, stop_requested=lambda: False
        ) as encoded:
            session = load_session(
                drawing,
                settled,
                parts,
                loras,
                encoded,
                folders,
                device=device,
                progress=lambda done, total: _say(done, total, "loading the transformer"),
            )
            (request,) = sample_requests(settled)
            picture = session.draw(request, stop_requested=lambda: False)
    except DarkroomError as error:
        raise _at_options(error) from error
    assert picture is not None, "nobody asked to stop"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_picture(options.output, picture, session.recipe(request))
    print(options.output)
    return EXIT_COMPLETED


def _as_drawing(options: argparse.Namespace) -> dict[str, Any]:
    """The drawing of one picture that the options ask for, unchecked.

    Raises JobRefused, or BadLora for a file that cannot be read.
    """
    if options.lora is not None:
        refuse_unreadable(options.lora)
    architectures = {architecture.value for architecture in Architecture}
    is_name = options.model in architectures
    of_lora = None if options.lora is None else read_metadata(options.lora).get("architecture")
    architecture = options.model if is_name else options.architecture or of_lora
    if architecture not in architectures:
        raise JobRefused(
            "Which architecture the model has is not said.",
            f"Give --architecture, or one of these as --model: {', '.join(sorted(architectures))}.",
            code="architecture_unknown",
        )
    return {
        "name": "sample",
        "gpu": options.gpu,
        "data_type": options.data_type,
        "model": {
            "model_architecture": architecture,
            "name_or_path": "" if is_name else _as_typed(options.model),
            "revision": options.revision,
            "autoencoder_path": _as_typed(options.autoencoder),
            "text_encoder_path": _as_typed(options.text_encoder),
            "vae_data_type": options.vae_data_type,
            "layer_offloading": options.offload,
            "low_vram": options.low_vram,
        },
        "quantization": {"transformer": options.quantization, "text_encoder": options.quantization},
        "sample_steps": options.steps,
        "negative_prompt": options.negative_prompt,
        "time_out_per_picture": 86_400,
        "loras": [] if options.lora is None else [str(options.lora.absolute())],
        "pictures": [
            {
                "prompt": options.prompt,
                "seed": options.seed,
                "width": options.width,
                "height": options.height,
                "guidance_scale": options.guidance,
                "lora": None if options.lora is None else 0,
                "lora_strength": options.strength,
                "control_images": [str(path.absolute()) for path in options.control_image],
            }
        ],
    }


_OPTIONS = {
    "pictures.0.prompt": "--prompt",
    "pictures.0.seed": "--seed",
    "pictures.0.width": "--width",
    "pictures.0.height": "--height",
    "pictures.0.guidance_scale": "--guidance",
    "pictures.0.lora_strength": "--strength",
    "pictures.0.control_images": "--control-image",
    "sample_steps": "--steps",
    "negative_prompt": "--negative-prompt",
    "quantization.transformer": "--quantization",
    "quantization.text_encoder": "--quantization",
    "model.layer_offloading": "--offload",
    "model.name_or_path": "--model",
    "model.model_architecture": "--model",
}


def _at_options(error: DarkroomError) -> DarkroomError:
    """The error with each problem at the option that it is about, each once."""
    problems = [
        replace(problem, message=f"{option}: {problem.message}", field=None)
        if (option := _OPTIONS.get(problem.field or "")) is not None
        else problem
        for problem in error.problems
    ]
    return type(error).from_problems(list({str(problem): problem for problem in problems}.values()))


def _as_typed(name: str) -> str:
    """A path that is there from where the command is run, absolute; else a name as in a job."""
    return str(Path(name).absolute()) if name and Path(name).exists() else name


def _hear(event: Event) -> None:
    if isinstance(event, Progress):
        _say(event.done, event.total, event.message)


def _say(done: int, total: int, message: str) -> None:
    if done == total or done % max(1, total // 10) == 0:
        print(f"{done}/{total} {message}", file=sys.stderr)
