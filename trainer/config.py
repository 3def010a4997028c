"""The job: ten panels, each setting defined once.

A setting is one field of a panel in `panels/`: its type and limits, its label, its help text (what
it does, and when it has no effect), its unit and its default. The API's schema, the browser's form,
the TypeScript types, the YAML file and docs/settings.md all follow from it. Rules that need two
fields stand in `job_rules.py`; what needs the disk (a folder, a picture) in `door.py`.
"""

from __future__ import annotations

from pydantic import Field

from trainer.panels.advanced import AdvancedPanel
from trainer.panels.datasets import Dataset
from trainer.panels.field import Panel
from trainer.panels.job import JobPanel
from trainer.panels.model import ModelPanel
from trainer.panels.quantization import QuantizationPanel
from trainer.panels.regularization import RegularizationPanel
from trainer.panels.sample import SamplePanel
from trainer.panels.save import SavePanel
from trainer.panels.target import TargetPanel
from trainer.panels.training import TrainingPanel
from trainer.variants import VARIANTS, Variant


class JobConfig(Panel):
    """A whole job: the ten panels, in the form's order."""

    job: JobPanel = Field(title="Job")
    model: ModelPanel = Field(default_factory=ModelPanel, title="Model")
    quantization: QuantizationPanel = Field(default_factory=QuantizationPanel, title="Quantization")
    target: TargetPanel = Field(default_factory=TargetPanel, title="Target")
    training: TrainingPanel = Field(default_factory=TrainingPanel, title="Training")
    save: SavePanel = Field(default_factory=SavePanel, title="Save")
    regularization: RegularizationPanel = Field(
        default_factory=RegularizationPanel, title="Regularization"
    )
    advanced: AdvancedPanel = Field(default_factory=AdvancedPanel, title="Advanced")
    datasets: list[Dataset] = Field(min_length=1, max_length=64, title="Datasets")
    sample: SamplePanel = Field(default_factory=SamplePanel, title="Sample")

    @property
    def run_name(self) -> str:
        """The name of the folder that its runs write into."""
        return self.job.training_name

    @property
    def num_units(self) -> int:
        """What a run of it counts up to: steps."""
        return self.training.steps

    @property
    def variant(self) -> Variant:
        """The table row of the job's architecture."""
        return VARIANTS[self.model.model_architecture]

    @property
    def lora_alpha(self) -> float:
        """Linear Alpha with its default filled in."""
        alpha = self.target.linear_alpha
        return float(self.target.linear_rank) if alpha is None else alpha

    @property
    def lora_scale(self) -> float:
        """What the product of what is trained is multiplied by: alpha / rank, if it has a rank."""
        is_whole = self.target.target_type == "lokr" and self.target.lokr_full_rank
        return 1.0 if is_whole else self.lora_alpha / self.target.linear_rank

    @property
    def largest_batch_size(self) -> int:
        """Pictures in the largest micro-batch: datasets may have a batch size of their own."""
        return max(dataset.batch_size or self.training.batch_size for dataset in self.datasets)

    @property
    def preservation_trigger(self) -> str:
        """The word that preservation replaces by the class."""
        own = self.regularization.trigger
        return self.job.trigger_word if own is None else own

    @property
    def sample_every(self) -> int:
        """Steps between samples with the default filled in."""
        own = self.sample.sample_every
        return self.save.save_every if own is None else own

    @property
    def validate_every(self) -> int:
        """Steps between measurements with the default filled in."""
        own = self.advanced.validate_every
        return self.save.save_every if own is None else own

    @property
    def dataset_of_validation(self) -> Dataset | None:
        """The Validation Dataset, read as the first dataset is and never trained on."""
        if self.advanced.validation != "dataset" or not self.advanced.validation_dataset:
            return None
        return self.datasets[0].model_copy(
            update={
                "target_dataset": self.advanced.validation_dataset,
                "control_datasets": [],
                "mask_dataset": "",
                "is_regularization": False,
                "caption_dropout_rate": 0.0,
                "flip_x": False,
                "flip_y": False,
            }
        )
