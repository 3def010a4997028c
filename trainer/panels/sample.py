"""The panel Sample: previews while it trains."""

from __future__ import annotations

from typing import Literal

from trainer.panels.field import Panel, SeedNumber, SidePx, setting

MAX_CONTROL_IMAGES = 10


class SamplePrompt(Panel):
    """One prompt to draw at every sampling, with settings of its own where they differ."""

    prompt: str = setting(
        label="Prompt",
        help="What to draw. [trigger] is replaced by the Trigger Word.",
        widget="text_lines",
        max_length=10_000,
        plain=True,
    )
    width: SidePx | None = setting(
        None, label="Width", help="Of this picture.", unit="px", placeholder="blank = as below"
    )
    height: SidePx | None = setting(
        None, label="Height", help="Of this picture.", unit="px", placeholder="blank = as below"
    )
    seed: SeedNumber | None = setting(
        None, label="Seed", help="Of this picture.", placeholder="blank = as below"
    )
    guidance_scale: float | None = setting(
        None,
        label="Guidance Scale",
        help="Of this picture.",
        placeholder="blank = as below",
        ge=0,
        le=30,
    )
    lora_strength: float = setting(
        1.0,
        label="LoRA Strength",
        help="How much of the LoRA this picture is drawn with: 0 is the base model, 1 the LoRA as "
        "it was trained, 0.5 half of what it adds to every weight.",
        no_effect="At step 0, whose pictures are the base model's.",
        ge=-4,
        le=4,
    )
    control_images: list[str] = setting(
        list,
        label="Control Images",
        help="Reference pictures that the prompt edits or combines, as an edit LoRA is used: "
        "names within the datasets folder, such as my-edits/sources/1.png, or absolute paths. "
        "Shown to the model in this order, each scaled to at most a megapixel.",
        widget="words",
        max_length=MAX_CONTROL_IMAGES,
    )


class SamplePanel(Panel):
    """Sample: pictures drawn while it trains, through the pipeline that inference uses."""

    sample_every: int | None = setting(
        None,
        label="Sample Every",
        help="Steps between samples. The last step is always sampled.",
        unit="steps",
        placeholder="blank = Save Every",
        ge=1,
        le=1_000_000,
        guides="As often as Save Every, so that each checkpoint has its pictures.",
        plain=True,
    )
    first_sample_at_step_0: bool = setting(
        True,
        label="First sample at step 0",
        help="Draw the base model's pictures before training, to compare with. The advice from "
        "samples needs them.",
    )
    sampler: Literal["flow_match"] = setting(
        "flow_match",
        label="Sampler",
        help="Flow matching in Euler steps, along the noise levels that FLUX.2's own pipeline "
        "takes for the picture's size and number of steps.",
        choices={"flow_match": "Flow match (Euler)"},
    )
    width: SidePx | None = setting(
        None,
        label="Width",
        help="Of the pictures drawn.",
        unit="px, a multiple of 16",
        placeholder="blank = 768 (tiny: 128)",
    )
    height: SidePx | None = setting(
        None,
        label="Height",
        help="Of the pictures drawn.",
        unit="px, a multiple of 16",
        placeholder="blank = 768 (tiny: 128)",
    )
    guidance_scale: float | None = setting(
        None,
        label="Guidance Scale",
        help="How literally the prompt is taken.",
        guides="1 for previews of dev while it trains; at inference about 2 is loose, 3.5-4 "
        "literal.",
        placeholder="blank = dev 1, klein 1, klein base 4, tiny 3",
        ge=0,
        le=30,
    )
    negative_prompt: str = setting(
        "",
        label="Negative Prompt",
        help="What klein pictures above guidance 1 are drawn away from; blank is FLUX.2's own "
        "way. [trigger] is replaced by the Trigger Word.",
        no_effect="dev and tiny, and any picture at guidance 1 or below.",
        widget="text_lines",
        max_length=10_000,
    )
    sample_steps: int | None = setting(
        None,
        label="Sample Steps",
        help="Denoising steps for a picture.",
        unit="steps",
        placeholder="blank = dev 25, klein 4, klein base 50, tiny 20",
        ge=1,
        le=200,
    )
    seed: SeedNumber = setting(
        42,
        label="Seed",
        help="Of the pictures' noise: the same at every step, so that pictures can be compared.",
    )
    walk_seed: bool = setting(
        False,
        label="Walk Seed",
        help="Give each prompt a seed of its own: the seed plus the prompt's place in the list.",
        no_effect="There is one prompt, or each has a seed of its own.",
    )
    time_out_per_sample: float = setting(
        600.0,
        label="Time-out per Sample",
        help="A picture that takes longer is given up between two denoising steps and reported; "
        "training goes on as if it had been drawn.",
        unit="seconds",
        gt=0,
        le=86_400,
    )
    prompts: list[SamplePrompt] = setting(
        list,
        label="Prompts",
        help="What is drawn at every sampling, one picture each.",
        guides="Two to four are enough to judge by; one without the trigger shows what leaks.",
        plain=True,
        widget="prompts",
        max_length=64,
    )
