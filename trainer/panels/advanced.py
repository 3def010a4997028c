"""The panel Advanced: change the training signal, and watch the run."""

from __future__ import annotations

from trainer.panels.field import Panel, setting


class AdvancedPanel(Panel):
    """Advanced: change the training signal."""

    do_differential_guidance: bool = setting(
        False,
        label="Do Differential Guidance",
        help="Move the target away from the model's present answer v: target' = v + scale x "
        "(target - v). The curve still shows the loss against the true target.",
    )
    scale: float = setting(
        3.0,
        label="Scale",
        help="Under MSE the gradient is multiplied by it. Try 2 or 1 when early samples ring.",
        no_effect="Do Differential Guidance is off, or Loss Type is MAE.",
        gt=0,
        le=100,
    )
