"""The workflow beside a LoRA: ComfyUI's own nodes, every input wired to what it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer.comfyui_workflow import NoWorkflow, comfyui_workflow, workflow_name, write_workflow
from trainer.config import JobConfig

NOWHERE = Path("/nowhere")
# ComfyUI's nodes: what they take by type, how many widgets they have, what they give.
NODES: dict[str, tuple[dict[str, str], int, list[str]]] = {
    "UNETLoader": ({}, 2, ["MODEL"]),
    "CLIPLoader": ({}, 3, ["CLIP"]),
    "VAELoader": ({}, 1, ["VAE"]),
    "LoraLoaderModelOnly": ({"model": "MODEL"}, 2, ["MODEL"]),
    "CLIPTextEncode": ({"clip": "CLIP"}, 1, ["CONDITIONING"]),
    "ConditioningZeroOut": ({"conditioning": "CONDITIONING"}, 0, ["CONDITIONING"]),
    "FluxGuidance": ({"conditioning": "CONDITIONING"}, 1, ["CONDITIONING"]),
    "ReferenceLatent": (
        {"conditioning": "CONDITIONING", "latent": "LATENT"},
        0,
        ["CONDITIONING"],
    ),
    "LoadImage": ({}, 2, ["IMAGE", "MASK"]),
    "ImageScaleToTotalPixels": ({"image": "IMAGE"}, 2, ["IMAGE"]),
    "VAEEncode": ({"pixels": "IMAGE", "vae": "VAE"}, 0, ["LATENT"]),
    "BasicGuider": ({"model": "MODEL", "conditioning": "CONDITIONING"}, 0, ["GUIDER"]),
    "CFGGuider": (
        {"model": "MODEL", "positive": "CONDITIONING", "negative": "CONDITIONING"},
        1,
        ["GUIDER"],
    ),
    "RandomNoise": ({}, 2, ["NOISE"]),
    "KSamplerSelect": ({}, 1, ["SAMPLER"]),
    "Flux2Scheduler": ({}, 3, ["SIGMAS"]),
    "EmptyFlux2LatentImage": ({}, 3, ["LATENT"]),
    "SamplerCustomAdvanced": (
        {
            "noise": "NOISE",
            "guider": "GUIDER",
            "sampler": "SAMPLER",
            "sigmas": "SIGMAS",
            "latent_image": "LATENT",
        },
        0,
        ["LATENT", "LATENT"],
    ),
    "VAEDecode": ({"samples": "LATENT", "vae": "VAE"}, 0, ["IMAGE"]),
    "SaveImage": ({"images": "IMAGE"}, 1, []),
    "Note": ({}, 1, []),
}


def job_of(architecture: str, **sample: Any) -> JobConfig:
    prompts = [
        {
            "prompt": "[trigger], a lighthouse",
            "seed": 7,
            "width": 832,
            "height": 1216,
            "lora_strength": 0.8,
        },
        {"prompt": "a cat", "lora_strength": 0.3},
    ]
    return JobConfig.model_validate(
        {
            "job": {"training_name": "my-style", "trigger_word": "zorvex"},
            "model": {"model_architecture": architecture},
            "datasets": [{"target_dataset": "pictures"}],
            "sample": {"prompts": prompts} | sample,
        }
    )


def nodes_of(workflow: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [node for node in workflow["nodes"] if node["type"] == kind]


def values(workflow: dict[str, Any], kind: str) -> list[Any]:
    (node,) = nodes_of(workflow, kind)
    return node["widgets_values"]


@pytest.mark.parametrize("references", [[], ["edits/1.png", "edits/2.png"]])
@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize(
    "architecture", ["flux2-dev", "klein-base-4b", "klein-base-9b", "klein-4b", "klein-9b"]
)
def test_every_wire_leads_from_an_output_to_an_input_of_its_type(
    architecture: str, guidance: float, references: list[str]
) -> None:
    prompt = {"prompt": "a cat", "control_images": references}
    job = job_of(architecture, guidance_scale=guidance, prompts=[prompt])
    workflow = comfyui_workflow(job, lora_name="my-style.safetensors", datasets=NOWHERE)
    assert json.loads(json.dumps(workflow)) == workflow
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for node in nodes.values():
        takes, num_widgets, gives = NODES[node["type"]]
        assert {wire["name"]: wire["type"] for wire in node["inputs"]} == takes
        assert len(node["widgets_values"]) == num_widgets
        assert [output["type"] for output in node["outputs"]] == gives
    for link, source, slot, target, entry, type_ in workflow["links"]:
        assert link in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][entry]["link"] == link
        assert nodes[source]["outputs"][slot]["type"] == type_
        assert nodes[target]["inputs"][entry]["type"] == type_
        assert source < target  # so that there is no circle
    assert len(nodes_of(workflow, "LoadImage")) == len(references)
    places = [tuple(node["pos"]) for node in nodes.values()]
    assert len(set(places)) == len(places)


def test_references_are_scaled_down_as_the_pipeline_does_and_never_up(tmp_path: Path) -> None:
    for name, size in {"small": (512, 768), "just": (1024, 1024), "large": (1040, 1024)}.items():
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    names = ["small.png", "just.png", "large.png", "gone.png"]
    prompt = {"prompt": "a cat", "control_images": names}
    workflow = comfyui_workflow(
        job_of("flux2-dev", prompts=[prompt]), lora_name="a.safetensors", datasets=tmp_path
    )
    nodes = {node["id"]: node for node in workflow["nodes"]}
    sources = {link: nodes[source] for link, source, *_ in workflow["links"]}
    chains: dict[str, list[str]] = {}
    for encoded in nodes_of(workflow, "VAEEncode"):
        chain = [sources[encoded["inputs"][0]["link"]]]
        while chain[-1]["inputs"]:
            chain.append(sources[chain[-1]["inputs"][0]["link"]])
        chains[chain[-1]["widgets_values"][0]] = [node["type"] for node in chain]
    scaled = ["ImageScaleToTotalPixels", "LoadImage"]
    assert chains == {
        "small.png": ["LoadImage"],
        "just.png": ["LoadImage"],
        "large.png": scaled,
        "gone.png": scaled,
    }
    (note,) = nodes_of(workflow, "Note")
    assert "\ngone.png could not be read" in note["widgets_values"][0]
    small_only = job_of("flux2-dev", prompts=[prompt | {"control_images": ["small.png"]}])
    workflow = comfyui_workflow(small_only, lora_name="a.safetensors", datasets=tmp_path)
    (note,) = nodes_of(workflow, "Note")
    assert "ImageScaleToTotalPixels" not in note["widgets_values"][0]


def test_it_draws_the_first_prompt_as_the_job_did() -> None:
    job = job_of("flux2-dev", sample_steps=20, guidance_scale=2.5)
    workflow = comfyui_workflow(job, lora_name="my-style-500.safetensors", datasets=NOWHERE)
    assert values(workflow, "CLIPTextEncode") == ["zorvex, a lighthouse"]
    assert values(workflow, "LoraLoaderModelOnly") == ["my-style-500.safetensors", 0.8]
    assert values(workflow, "RandomNoise")[0] == 7
    assert values(workflow, "Flux2Scheduler") == [20, 832, 1216]
    assert values(workflow, "EmptyFlux2LatentImage") == [832, 1216, 1]
    assert values(workflow, "FluxGuidance") == [2.5]
    assert values(workflow, "SaveImage") == ["my-style"]
    (note,) = nodes_of(workflow, "Note")
    assert "ComfyUI/models/loras" in note["widgets_values"][0]


def test_klein_is_drawn_away_from_the_negative_prompt_above_guidance_1_only() -> None:
    base = comfyui_workflow(
        job_of("klein-base-4b", negative_prompt="blur"), lora_name="a", datasets=NOWHERE
    )
    said = [node["widgets_values"][0] for node in nodes_of(base, "CLIPTextEncode")]
    assert said == ["zorvex, a lighthouse", "blur"]
    assert values(base, "CFGGuider") == [4.0]
    assert values(base, "UNETLoader")[0] == "flux-2-klein-base-4b.safetensors"
    distilled = comfyui_workflow(job_of("klein-9b"), lora_name="a", datasets=NOWHERE)
    assert len(nodes_of(distilled, "ConditioningZeroOut")) == 1
    assert values(distilled, "Flux2Scheduler")[0] == 4


def test_a_job_without_prompts_draws_its_trigger_word() -> None:
    workflow = comfyui_workflow(
        job_of("flux2-dev", prompts=[]), lora_name="a.safetensors", datasets=NOWHERE
    )
    assert values(workflow, "CLIPTextEncode") == ["zorvex"]
    assert values(workflow, "LoraLoaderModelOnly") == ["a.safetensors", 1.0]


def test_the_tiny_model_is_not_for_comfyui() -> None:
    with pytest.raises(NoWorkflow, match="Tiny"):
        comfyui_workflow(job_of("tiny"), lora_name="a.safetensors", datasets=NOWHERE)


def test_the_workflow_is_named_after_the_lora() -> None:
    assert workflow_name("my-style-step-000500.safetensors") == "my-style-step-000500.comfyui.json"


def test_it_is_written_beside_the_lora_where_comfyui_can_load_the_model(tmp_path: Path) -> None:
    lora = tmp_path / "my-style.safetensors"
    path = write_workflow(job_of("flux2-dev"), lora, datasets=NOWHERE)
    assert path is not None
    assert path == tmp_path / "my-style.comfyui.json"
    assert json.loads(path.read_text()) == comfyui_workflow(
        job_of("flux2-dev"), lora_name="my-style.safetensors", datasets=NOWHERE
    )
    assert write_workflow(job_of("tiny"), lora, datasets=NOWHERE) is None
