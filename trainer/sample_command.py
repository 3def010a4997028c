"""The command that draws one picture from any LoRA: `python -m trainer sample`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainer.errors import EXIT_COMPLETED, BadModel, JobRefused, Problem, Severity
from trainer.folders import Folders
from trainer.lora_header import read_metadata, refuse_unreadable
from trainer.model_check import source_problems
from trainer.model_obtaining import obtain_parts
from trainer.model_parts import model_source
from trainer.panels.field import SIDE_MULTIPLE_PX
from trainer.panels.model import ModelPanel
from trainer.panels.sample import MAX_CONTROL_IMAGES
from trainer.quantization_kinds import QUANTIZATION_KINDS
from trainer.quantization_support import obstacle
from trainer.variants import VARIANTS, Architecture, Variant

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
    sample.add_argument("--models", type=Path, metavar="DIR", help="folder that models lie in")
    sample.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.png")


def run_sample_command(options: argparse.Namespace, folders: Folders) -> int:
    """Draw the picture; the exit code. Raises the errors of errors.py."""
    if options.lora is not None:
        refuse_unreadable(options.lora)
    panel = _model_panel(options)
    variant = VARIANTS[panel.model_architecture]
    _refuse_bad_numbers(options)
    _refuse_missing_kind(options)
    errors = [
        problem
        for problem in source_problems(model_source(panel, folders))
        if problem.severity == Severity.ERROR
    ]
    if errors:
        raise BadModel.from_problems(errors)

    from trainer.lora_reading import read_lora
    from trainer.lora_sampling import draw_with_lora
    from trainer.model_loading import choose_device
    from trainer.sampling import write_picture

    lora = None if options.lora is None else read_lora(options.lora)
    references = _references(options.control_image)
    request = _request(options, variant)
    parts = obtain_parts(
        panel,
        folders,
        begin_download=lambda name: print(f"downloading {name}", file=sys.stderr),
        progress=lambda done, total, name: _say(done, total, f"MB, {name}"),
        stop_requested=lambda: False,
    )
    _refuse_long_prompts(request, parts.tokenizer, variant)
    picture = draw_with_lora(
        request,
        parts=parts,
        lora=lora,
        references=references,
        data_type=options.data_type,
        vae_data_type=options.vae_data_type,
        quantization=options.quantization,
        device=choose_device(options.gpu),
        cache=folders.cache,
        progress=_say,
    )
    about = {} if lora is None else lora.own_metadata
    recipe = request.recipe(about.get("training_name", ""), int(about.get("step", 0)))
    recipe |= {"architecture": variant.architecture.value, "model": options.model}
    recipe |= {"lora": None if lora is None else lora.path.name}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_picture(options.output, picture, recipe)
    print(options.output)
    return EXIT_COMPLETED


def _model_panel(options: argparse.Namespace) -> ModelPanel:
    architectures = {architecture.value for architecture in Architecture}
    of_lora = _architecture_of(options.lora)
    is_name = options.model in architectures
    architecture = options.model if is_name else options.architecture or of_lora
    if architecture not in architectures:
        raise JobRefused(
            "Which architecture the model has is not said.",
            f"Give --architecture, or one of these as --model: {', '.join(sorted(architectures))}.",
            code="architecture_unknown",
        )
    try:
        return ModelPanel(
            model_architecture=Architecture(architecture),
            name_or_path="" if is_name else _as_typed(options.model),
            revision=options.revision,
            autoencoder_path=_as_typed(options.autoencoder),
            text_encoder_path=_as_typed(options.text_encoder),
            vae_data_type=options.vae_data_type,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise JobRefused(
            f"{first['loc'][0]}: {first['msg']}.", "Correct the option.", code="bad_option"
        ) from error


def _as_typed(name: str) -> str:
    """A path that is there from where the command is run, absolute; else a name as in a job."""
    return str(Path(name).absolute()) if name and Path(name).exists() else name


def _architecture_of(lora: Path | None) -> str | None:
    return None if lora is None else read_metadata(lora).get("architecture")


def _refuse_missing_kind(options: argparse.Namespace) -> None:
    missing = obstacle(options.quantization, on_gpu=options.gpu != "cpu")
    if missing is not None:
        raise JobRefused(
            f"--quantization {options.quantization} cannot be used here: {missing.reason}.",
            f"Choose another kind, or {missing.cure}.",
            code="quantization_unavailable",
        )


def _refuse_bad_numbers(options: argparse.Namespace) -> None:
    problems: list[Problem] = []

    def refuse(option: str, value: object, hint: str) -> None:
        problems.append(
            Problem(
                "bad_option", f"{option} {value} cannot be used.", hint, params={"value": value}
            )
        )

    for name in ("width", "height"):
        side = getattr(options, name)
        if side is not None and (side % SIDE_MULTIPLE_PX or not 64 <= side <= 2048):
            refuse(f"--{name}", side, "Give a multiple of 16 from 64 to 2048.")
    if options.steps is not None and not 1 <= options.steps <= 200:
        refuse("--steps", options.steps, "Give 1 to 200.")
    if options.guidance is not None and not 0 <= options.guidance <= 30:
        refuse("--guidance", options.guidance, "Give 0 to 30.")
    if not -4 <= options.strength <= 4:
        refuse("--strength", options.strength, "Give -4 to 4; 0 is the base model.")
    if not 0 <= options.seed < 2**32:
        refuse("--seed", options.seed, "Give 0 to 4294967295.")
    if len(options.control_image) > MAX_CONTROL_IMAGES:
        refuse("--control-image", len(options.control_image), f"Up to {MAX_CONTROL_IMAGES}.")
    if options.output.suffix.lower() != ".png":
        refuse("--output", options.output, "The recipe is kept in a PNG: end the name in .png.")
    if problems:
        raise JobRefused.from_problems(problems)


def _references(paths: list[Path]) -> list[Any]:
    from trainer.companions import reference_fault
    from trainer.pictures import UnreadablePicture, read_picture

    pictures: list[Any] = []
    for path in paths:
        try:
            picture = read_picture(path)
            fault = reference_fault(*picture.size)
        except UnreadablePicture as error:
            fault = str(error)
        if fault:
            raise JobRefused(
                f"The control image {path} cannot be used: {fault}.",
                "Give another picture.",
                code="control_image_unusable",
            )
        pictures.append(picture)
    return pictures


def _refuse_long_prompts(request: Any, tokenizer: Path, variant: Variant) -> None:
    """Raises JobRefused for a prompt whose end the text encoder would not see."""
    from trainer.prompt_lengths import prompts_too_long

    prompts = {"--prompt": request.prompt, "--negative-prompt": request.negative_prompt or ""}
    too_long = prompts_too_long(list(prompts.values()), tokenizer, variant)
    problems = [
        Problem(
            "prompt_too_long",
            f"{option} has {too_long[text]}; its end would be cut off.",
            "Shorten it.",
            params={"length": too_long[text]},
        )
        for option, text in prompts.items()
        if text in too_long
    ]
    if problems:
        raise JobRefused.from_problems(problems)


def _request(options: argparse.Namespace, variant: Variant) -> Any:
    from trainer.sampling import SampleRequest

    guidance = variant.sample_guidance if options.guidance is None else options.guidance
    is_klein = variant.pipeline_class == "Flux2KleinPipeline"
    return SampleRequest(
        prompt_index=0,
        prompt=options.prompt,
        seed=options.seed,
        width=options.width or variant.sample_side_px,
        height=options.height or variant.sample_side_px,
        guidance_scale=guidance,
        sample_steps=options.steps or variant.sample_steps,
        lora_strength=options.strength if options.lora is not None else 0.0,
        negative_prompt=options.negative_prompt if is_klein and guidance > 1 else None,
        control_images=tuple(str(path) for path in options.control_image),
    )


def _say(done: int, total: int, message: str) -> None:
    if done == total or done % max(1, total // 10) == 0:
        print(f"{done}/{total} {message}", file=sys.stderr)
