"""The panel Job: what the training is called and where it runs."""

from __future__ import annotations

from trainer.panels.field import Panel, SeedNumber, TrainingName, setting


class JobPanel(Panel):
    """Job: what the training is called and where it runs."""

    training_name: TrainingName = setting(
        label="Training Name",
        help="Letters, digits, _ and -. It becomes the output folder and the LoRA's file name.",
        plain=True,
    )
    gpu: str = setting(
        "any",
        label="GPU",
        help="Where the job may run: any free GPU, one GPU by its UUID, or the CPU. A machine "
        "without a GPU runs any on its CPU.",
        widget="device",
        pattern=r"^(any|cpu|GPU-[0-9a-fA-F-]+)$",
        plain=True,
    )
    trigger_word: str = setting(
        "",
        label="Trigger Word",
        help="The word that calls the LoRA. It replaces [trigger] in captions, default captions "
        "and sample prompts; a word that means nothing yet works best.",
        no_effect="No caption or prompt contains [trigger], and preservation is off.",
        max_length=64,
        guides="A made-up word: one that exists brings its own meaning along.",
        plain=True,
    )
    seed: SeedNumber = setting(
        42,
        label="Seed",
        help="Noise, timesteps, order and caption dropout are functions of this number and the "
        "step, so the same job gives the same LoRA.",
    )
    resume_after_interruption: bool = setting(
        True,
        label="Resume After Interruption",
        help="When the machine restarts or the trainer vanishes, the job waits in the queue again, "
        "first of its priority, and goes on from its newest checkpoint. After three runs in a row "
        "that began at the same step it stays interrupted. A stop or a failure is never undone.",
        no_effect="The trainer is started by hand, without the queue.",
    )
