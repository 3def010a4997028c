"""Where everything of a job lies: one definition of the output folder's layout.

PARENT/<training name>/
  job.yaml                         what will run next
  pins.json                        pinned and starred, with notes
  .lock                            held by the trainer that writes here
  .pins.lock                       held for the moment in which pins.json is changed or obeyed
  origin.json                      of a job that was imported: from where and when
  <training name>.safetensors      the end result
  <training name>.comfyui.json     a ComfyUI workflow that draws with it
  samples/step-000250-prompt-00.png
  checkpoints/step-000250/         see checkpoint.py
  runs/0001/{job.yaml, events.jsonl, commands.jsonl, trainer.log, preview.png}
  superseded/0002/                 what the resume of run 2 set aside
  loras/                           of a drawing: its LoRA files, while pictures are missing
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

# Of a checkpoint's folder: the LoRA for use, and what is known of the whole; see checkpoint.py.
LORA_FILE, MANIFEST_FILE = "lora.safetensors", "checkpoint.json"
# Of a job that came in a bundle: what it was called, its step, when it was packed and imported.
ORIGIN_FILE = "origin.json"
# Where a sample's PNG keeps its recipe, as JSON.
RECIPE_CHUNK = "darkroom"

_SAMPLE_FILE = re.compile(r"^step-(\d{6,})-prompt-(\d{2,})\.png$")
# Set aside a second time by the same run, it stands beside the first: step-000000-prompt-00-2.png.
_SUPERSEDED_SAMPLE = re.compile(r"^step-(\d{6,})-prompt-(\d{2,})(?:-\d+)?\.png$")
_STEP_FOLDER = re.compile(r"^step-(\d{6,})$")
_RUN_FOLDER = re.compile(r"^(\d{4,})$")


@dataclass(frozen=True)
class RunFolder:
    """One start of a job."""

    path: Path
    number: int

    @property
    def job_file(self) -> Path:
        return self.path / "job.yaml"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def commands(self) -> Path:
        return self.path / "commands.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "trainer.log"

    @property
    def preview(self) -> Path:
        """The picture that the run is drawing, as it is becoming; see previews.py."""
        return self.path / "preview.png"

    @property
    def dataset(self) -> Path:
        """What the run trains on: `trainer.dataset_manifest`."""
        return self.path / "dataset.json"


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job; `training_name` is a slug, checked by the job schema."""

    parent: Path
    training_name: str

    @property
    def path(self) -> Path:
        return self.parent / self.training_name

    @property
    def job_file(self) -> Path:
        return self.path / "job.yaml"

    @property
    def pins(self) -> Path:
        return self.path / "pins.json"

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def pins_lock(self) -> Path:
        return self.path / ".pins.lock"

    @property
    def result(self) -> Path:
        return self.path / f"{self.training_name}.safetensors"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def superseded(self) -> Path:
        return self.path / "superseded"

    @property
    def loras(self) -> Path:
        """Of a drawing: LoRA files that are kept for it while they could go away elsewhere."""
        return self.path / "loras"

    @staticmethod
    def kept_name(lora: str) -> str:
        """What a kept file is called. lora: as the drawing names it, so that no other is taken."""
        return f"{hashlib.sha256(lora.encode(errors='surrogatepass')).hexdigest()[:16]}.safetensors"

    def sample(self, step: int, prompt_index: int) -> Path:
        """The picture of one prompt at one step."""
        return self.samples / f"step-{step:06d}-prompt-{prompt_index:02d}.png"

    def sample_files(self) -> list[tuple[Path, int, int]]:
        """(path, step, prompt index) of the pictures on disk, by name."""
        if not self.samples.is_dir():
            return []
        matches = [(path, _SAMPLE_FILE.match(path.name)) for path in sorted(self.samples.iterdir())]
        return [(path, int(match[1]), int(match[2])) for path, match in matches if match]

    def superseded_numbers(self) -> list[int]:
        """Numbers of the runs that set something aside, lowest first."""
        return _numbers_in(self.superseded)

    def superseded_sample_files(self) -> list[tuple[Path, int, int, int]]:
        """(path, step, prompt index, number of the run that set it aside) of the pictures there."""
        found: list[tuple[Path, int, int, int]] = []
        for number in self.superseded_numbers():
            folder = self.superseded / f"{number:04d}" / self.samples.name
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                match = _SUPERSEDED_SAMPLE.match(path.name)
                if match:
                    found.append((path, int(match[1]), int(match[2]), number))
        return found

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint after `step` steps."""
        return self.checkpoints / f"step-{step:06d}"

    def checkpoint_steps(self) -> list[int]:
        """Steps of the whole checkpoints on disk, lowest first."""
        if not self.checkpoints.is_dir():
            return []
        matches = (_STEP_FOLDER.match(entry.name) for entry in self.checkpoints.iterdir())
        return sorted(int(match.group(1)) for match in matches if match)

    def run(self, number: int) -> RunFolder:
        """The folder of the run with this number, counted from 1."""
        return RunFolder(self.runs / f"{number:04d}", number)

    def run_numbers(self) -> list[int]:
        """Numbers of the runs on disk, lowest first."""
        return _numbers_in(self.runs)

    def next_run_number(self) -> int:
        """One past the highest run on disk."""
        return max(self.run_numbers(), default=0) + 1

    def relative(self, path: Path) -> str:
        """`path` as events write it: relative to the job's folder, with forward slashes."""
        return path.relative_to(self.path).as_posix()


def _numbers_in(folder: Path) -> list[int]:
    """The numbers by which runs have folders there, lowest first."""
    if not folder.is_dir():
        return []
    matches = (_RUN_FOLDER.match(entry.name) for entry in folder.iterdir())
    return sorted(int(match.group(1)) for match in matches if match)
