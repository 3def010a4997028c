"""A workflow for ComfyUI that loads a LoRA on its base model and draws the job's first prompt.

    workflow = comfyui_workflow(job, lora_name="my-style.safetensors", datasets=folders.datasets)

The file is what ComfyUI itself saves (its graph, not its API's): dropped onto the canvas it shows
boxes and wires that a person can change. All nodes are ComfyUI's own, and the picture is the
preview's: the same schedule, sampler, seed, size, guidance, LoRA strength and references. Where
they differ from what Darkroom drew, it is by the precision of the files that ComfyUI loads.

    UNETLoader -> LoraLoaderModelOnly -> guider -> SamplerCustomAdvanced -> VAEDecode -> SaveImage
    CLIPLoader -> CLIPTextEncode -> (ReferenceLatent ...) -> guider

dev has its guidance in the model (FluxGuidance, BasicGuider); klein predicts twice and moves away
from the negative prompt (CFGGuider), which at scale 1 has no weight and is zeroed.

A reference of more than 1024 x 1024 px is scaled down to that, as Diffusers does. ComfyUI's node
for it scales smaller ones up, so these go without it. Of a reference that cannot be read when the
workflow is made nobody knows which it is: it gets the node, and the note says when to take it away.

The file names of base models are those of ComfyUI's own repackaged files. Imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from trainer.buckets import REFERENCE_AREA_PX
from trainer.config import JobConfig
from trainer.durable_write import write_text
from trainer.errors import JobRefused
from trainer.panels.sample import SamplePrompt
from trainer.pictures import UnreadablePicture, upright_size
from trainer.sample_check import control_image_path
from trainer.texts import negative_prompt_text, sample_guidance, sample_prompt_text
from trainer.variants import Architecture

_VAE = "flux2-vae.safetensors"
# (diffusion model, text encoder) as ComfyUI's template files name them.
_FILES: dict[Architecture, tuple[str, str]] = {
    Architecture.FLUX2_DEV: (
        "flux2_dev_fp8mixed.safetensors",
        "mistral_3_small_flux2_fp8.safetensors",
    ),
    Architecture.KLEIN_BASE_4B: ("flux-2-klein-base-4b.safetensors", "qwen_3_4b.safetensors"),
    Architecture.KLEIN_BASE_9B: (
        "flux-2-klein-base-9b.safetensors",
        "qwen_3_8b_fp8mixed.safetensors",
    ),
    Architecture.KLEIN_4B: ("flux-2-klein-4b.safetensors", "qwen_3_4b.safetensors"),
    Architecture.KLEIN_9B: ("flux-2-klein-9b.safetensors", "qwen_3_8b_fp8mixed.safetensors"),
}
_COLUMN_PX, _GAP_PX = 360, 40
_MEGAPIXEL = 1024 * 1024  # as the node counts


class NoWorkflow(ValueError):
    """ComfyUI cannot load the model that the LoRA is for."""


def comfyui_workflow(job: JobConfig, *, lora_name: str, datasets: Path) -> dict[str, Any]:
    """The workflow as a JSON object. lora_name: the file's name in ComfyUI's folder of LoRAs.

    datasets: where the sizes of reference pictures are looked up. Raises NoWorkflow for the bundled
    tiny model.
    """
    refuse_unknown_model(job)
    prompt = job.sample.prompts[0] if job.sample.prompts else SamplePrompt(prompt="[trigger]")
    graph = _Graph()
    unet, text_encoder = _FILES[job.model.model_architecture]
    model = graph.add("UNETLoader", 0, widgets=[unet, "default"], gives=["MODEL"])
    clip = graph.add("CLIPLoader", 0, widgets=[text_encoder, "flux2", "default"], gives=["CLIP"])
    vae = graph.add("VAELoader", 0, widgets=[_VAE], gives=["VAE"])
    with_lora = graph.add(
        "LoraLoaderModelOnly",
        1,
        widgets=[lora_name, prompt.lora_strength],
        takes={"model": (model, 0)},
        gives=["MODEL"],
    )
    said = _encoded(graph, clip, sample_prompt_text(job, prompt), title="Prompt")
    areas = {name: _area_px(name, datasets) for name in prompt.control_images}
    references = _references(graph, vae, prompt, areas)
    said = _with_references(graph, said, references)
    guider = _guider(graph, job, prompt, with_lora, clip, references, said)
    side = job.variant.sample_side_px
    width = prompt.width or job.sample.width or side
    height = prompt.height or job.sample.height or side
    seed = job.sample.seed if prompt.seed is None else prompt.seed
    steps = job.sample.sample_steps or job.variant.sample_steps
    noise = graph.add("RandomNoise", 2, widgets=[seed, "fixed"], gives=["NOISE"])
    sampler = graph.add("KSamplerSelect", 2, widgets=["euler"], gives=["SAMPLER"])
    sigmas = graph.add("Flux2Scheduler", 2, widgets=[steps, width, height], gives=["SIGMAS"])
    empty = graph.add("EmptyFlux2LatentImage", 2, widgets=[width, height, 1], gives=["LATENT"])
    drawn = graph.add(
        "SamplerCustomAdvanced",
        4,
        takes={
            "noise": (noise, 0),
            "guider": (guider, 0),
            "sampler": (sampler, 0),
            "sigmas": (sigmas, 0),
            "latent_image": (empty, 0),
        },
        gives=["LATENT", "LATENT"],
        output_names=["output", "denoised_output"],
    )
    picture = graph.add(
        "VAEDecode", 4, takes={"samples": (drawn, 0), "vae": (vae, 0)}, gives=["IMAGE"]
    )
    graph.add("SaveImage", 5, widgets=[job.job.training_name], takes={"images": (picture, 0)})
    graph.add("Note", 5, widgets=[_where_to_put(lora_name, unet, text_encoder, areas)])
    return graph.as_dict()


def refuse_unknown_model(job: JobConfig) -> None:
    """Raises NoWorkflow for a model that ComfyUI cannot load."""
    if job.model.model_architecture not in _FILES:
        raise NoWorkflow(f"ComfyUI has no {job.variant.label}.")


def write_workflow(job: JobConfig, lora: Path, *, datasets: Path) -> Path | None:
    """Write the workflow beside the LoRA's file; its path, or None where ComfyUI has no use for
    the LoRA.
    """
    try:
        workflow = comfyui_workflow(job, lora_name=lora.name, datasets=datasets)
    except NoWorkflow:
        return None
    path = lora.with_name(workflow_name(lora.name))
    write_text(path, json.dumps(workflow, indent=1, ensure_ascii=False))
    return path


def workflow_name(lora_name: str) -> str:
    """The workflow's file name: that of the LoRA that it loads, with another ending."""
    return f"{PurePath(lora_name).stem}.comfyui.json"


def _area_px(name: str, datasets: Path) -> int | None:
    """Of a reference picture; None where it cannot be read."""
    try:
        width_px, height_px = upright_size(control_image_path(name, datasets))
    except (JobRefused, OSError, UnreadablePicture):
        return None
    return width_px * height_px


def _where_to_put(
    lora_name: str, unet: str, text_encoder: str, areas: Mapping[str, int | None]
) -> str:
    lines = [
        f"Put {lora_name} into ComfyUI/models/loras and press R, then Run.",
        "",
        f"The base model: {unet} in models/diffusion_models, {text_encoder} in "
        f"models/text_encoders, {_VAE} in models/vae. Other files of the same model do as well: "
        "choose yours in the three loaders.",
    ]
    if areas:
        lines += ["", f"Reference pictures: put {_names(areas)} into ComfyUI/input."]
    unknown = [name for name, area in areas.items() if area is None]
    if unknown:
        lines += [
            "",
            f"{_names(unknown)} could not be read when this workflow was made. Darkroom shows the "
            "model a picture of up to 1024 x 1024 px at its own size: for such a one, connect Load "
            "Image to VAE Encode directly and take ImageScaleToTotalPixels away, which would scale "
            "it up.",
        ]
    return "\n".join(lines)


def _names(references: Iterable[str]) -> str:
    return ", ".join(PurePath(name).name for name in references)


def _encoded(graph: _Graph, clip: int, text: str, *, title: str) -> int:
    return graph.add(
        "CLIPTextEncode",
        1,
        title=title,
        widgets=[text],
        takes={"clip": (clip, 0)},
        gives=["CONDITIONING"],
    )


def _references(
    graph: _Graph, vae: int, prompt: SamplePrompt, areas: Mapping[str, int | None]
) -> list[int]:
    """The latents of each reference picture, in order; large ones are scaled down first."""
    found = []
    for name in prompt.control_images:
        shown = graph.add(
            "LoadImage", 2, widgets=[PurePath(name).name, "image"], gives=["IMAGE", "MASK"]
        )
        area_px = areas[name]
        if area_px is None or area_px > REFERENCE_AREA_PX:
            shown = graph.add(
                "ImageScaleToTotalPixels",
                2,
                widgets=["lanczos", REFERENCE_AREA_PX / _MEGAPIXEL],
                takes={"image": (shown, 0)},
                gives=["IMAGE"],
            )
        found.append(
            graph.add(
                "VAEEncode", 2, takes={"pixels": (shown, 0), "vae": (vae, 0)}, gives=["LATENT"]
            )
        )
    return found


def _with_references(graph: _Graph, said: int, references: Sequence[int]) -> int:
    for latent in references:
        said = graph.add(
            "ReferenceLatent",
            3,
            takes={"conditioning": (said, 0), "latent": (latent, 0)},
            gives=["CONDITIONING"],
        )
    return said


def _guider(
    graph: _Graph,
    job: JobConfig,
    prompt: SamplePrompt,
    model: int,
    clip: int,
    references: Sequence[int],
    said: int,
) -> int:
    guidance = sample_guidance(job, prompt)
    if job.variant.pipeline_class == "Flux2Pipeline":
        guided = graph.add(
            "FluxGuidance",
            3,
            widgets=[guidance],
            takes={"conditioning": (said, 0)},
            gives=["CONDITIONING"],
        )
        return graph.add(
            "BasicGuider",
            3,
            takes={"model": (model, 0), "conditioning": (guided, 0)},
            gives=["GUIDER"],
        )
    if guidance > 1:
        against = _encoded(graph, clip, negative_prompt_text(job), title="Negative prompt")
        against = _with_references(graph, against, references)
    else:
        against = graph.add(
            "ConditioningZeroOut", 3, takes={"conditioning": (said, 0)}, gives=["CONDITIONING"]
        )
    return graph.add(
        "CFGGuider",
        3,
        widgets=[guidance],
        takes={"model": (model, 0), "positive": (said, 0), "negative": (against, 0)},
        gives=["GUIDER"],
    )


@dataclass
class _Graph:
    """Boxes and wires, as ComfyUI keeps them. A node is known by its number, from 1."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[list[Any]] = field(default_factory=list)
    _heights: dict[int, int] = field(default_factory=dict)

    def add(
        self,
        kind: str,
        column: int,
        *,
        title: str | None = None,
        widgets: Sequence[Any] = (),
        takes: Mapping[str, tuple[int, int]] | None = None,
        gives: Sequence[str] = (),
        output_names: Sequence[str] | None = None,
    ) -> int:
        """A box below the others of its column; its number.

        widgets: their values in ComfyUI's order. takes: (node, its output) by input. gives: types
        of the outputs, which are their names too unless they have others.
        """
        number = len(self.nodes) + 1
        text = [str(value) for value in widgets if isinstance(value, str) and len(value) > 80]
        height = 60 + 26 * max(len(widgets) + len(takes or {}), len(gives)) + 40 * len(text)
        top = self._heights.get(column, 0)
        self._heights[column] = top + height + _GAP_PX
        names = output_names or gives
        node: dict[str, Any] = {
            "id": number,
            "type": kind,
            "pos": [column * _COLUMN_PX, top],
            "size": [_COLUMN_PX - _GAP_PX, height],
            "flags": {},
            "order": number - 1,
            "mode": 0,
            "inputs": [],
            "outputs": [
                {"name": name, "type": type_, "links": [], "slot_index": slot}
                for slot, (name, type_) in enumerate(zip(names, gives, strict=True))
            ],
            "properties": {"Node name for S&R": kind},
            "widgets_values": list(widgets),
        }
        if title is not None:
            node["title"] = title
        self.nodes.append(node)
        for name, (source, slot) in (takes or {}).items():
            self._wire(source, slot, node, name)
        return number

    def as_dict(self) -> dict[str, Any]:
        """What ComfyUI reads from a workflow's file."""
        return {
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": [],
            "config": {},
            "extra": {},
            "version": 0.4,
        }

    def _wire(self, source: int, slot: int, node: dict[str, Any], name: str) -> None:
        output = self.nodes[source - 1]["outputs"][slot]
        link = len(self.links) + 1
        output["links"].append(link)
        node["inputs"].append({"name": name, "type": output["type"], "link": link})
        self.links.append([link, source, slot, node["id"], len(node["inputs"]) - 1, output["type"]])
