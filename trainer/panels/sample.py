"""The panel Sample: previews while it trains."""

from __future__ import annotations

from trainer.panels.field import Panel, SeedNumber, SidePx, setting


class SamplePrompt(Panel):
    """One prompt to draw at every sampling, with settings of its own where they differ."""

    prompt: str = setting(
        label="Prompt",
        help="What to draw. [trigger] is replaced by the Trigger Word.",
        widget="text_lines",
        max_length=10_000,
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
    )
    first_sample_at_step_0: bool = setting(
        True,
        label="First sample at step 0",
        help="Draw the base model's pictures before training, to compare with.",
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
        help="How literally the prompt is taken. Training previews of dev use 1 as the guides say; "
        "at inference about 2 is loose, 3.5-4 literal.",
        placeholder="blank = dev 1, klein 1, klein base 4, tiny 3",
        ge=0,
        le=30,
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
    prompts: list[SamplePrompt] = setting(
        list,
        label="Prompts",
        help="Two to four are enough to judge by; one without the trigger shows what leaks.",
        widget="prompts",
        max_length=64,
    )
