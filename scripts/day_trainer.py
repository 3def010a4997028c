"""A trainer that lives through a day in minutes: for day_benchmark.py and for the test beside it.

A step stands for a second. The Trigger Word `day10` says how many of them it tells at once, twenty
times a second; each has its line in the log. Every quarter of an hour it draws its prompts, with
previews on the way, and measures; every hour it saves, and keeps as many saves as the job says.

At every fifth of the way it stands still until a file of that step's number lies in its run's
folder, so that somebody can look closely at what is going on elsewhere.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import socket
import sys
import time
from pathlib import Path

from PIL import Image

from trainer import events
from trainer.commands import CommandReader
from trainer.config import JobConfig
from trainer.job_file import read_job_file
from trainer.job_folder import JobFolder

TICK_SECONDS = 0.05
QUARTER_OF_AN_HOUR = 900
HOUR = 3600
FIFTHS = 5
PREVIEWS = 2
SIDE_PX = 64
LORA = (2).to_bytes(8, "little") + b"{}"  # a safetensors file without tensors


class Day:
    """One run."""

    def __init__(self, job: JobConfig, folder: JobFolder, number: int, token: str) -> None:
        self.job, self.folder, self.number, self.token = job, folder, number, token
        self.total = job.training.steps
        self.at_once = int(job.job.trigger_word.removeprefix("day"))
        self.run = folder.run(number)
        self.log = events.EventLog(self.run.events)
        self.commands = CommandReader(self.run.commands)
        self.saves: list[int] = []

    def live(self) -> int:
        """The whole of it; the exit code."""
        self.log.append(
            events.RunStarted(
                training_name=self.folder.training_name,
                run_number=self.number,
                token=self.token,
                process_id=os.getpid(),
                host=socket.gethostname(),
                device="cpu",
                total_steps=self.total,
            )
        )
        self.log.append(events.RunBegins())
        self.draw(0)
        for step in range(1, self.total + 1):
            self.step(step)
            if step % QUARTER_OF_AN_HOUR == 0:
                self.draw(step)
                self.measure(step)
            if step % HOUR == 0:
                self.save(step)
            if step % self.at_once == 0:
                sys.stdout.flush()
                time.sleep(TICK_SECONDS)
            if self.is_stopped() or not self.may_go_on(step):
                return self.finish("stopped", 3, step)
        return self.finish("completed", 0, self.total)

    def step(self, step: int) -> None:
        noise = random.Random(step).gauss(0, 0.05)
        loss = 0.2 + 0.4 * math.exp(-step / self.total) + noise
        self.log.append(
            events.Step(
                step=step,
                loss=loss,
                objective=loss,
                learning_rate=1e-4,
                gradient_norm=0.8 + noise,
                step_seconds=1.0 + noise,
            )
        )
        print(f"step {step} of {self.total}: loss {loss:.4f}")

    def draw(self, step: int) -> None:
        self.log.append(events.PhaseStarted(phase="sample", step=step))
        picture = Image.effect_noise((SIDE_PX, SIDE_PX), 60 + step % 60)
        for index, prompt in enumerate(self.job.sample.prompts):
            for done in range(1, PREVIEWS + 1):
                picture.save(self.run.preview)
                self.log.append(
                    events.SamplePreview(
                        step=step,
                        prompt_index=index,
                        prompt=prompt.prompt,
                        done=done,
                        total=PREVIEWS,
                        path=self.run.preview.name,
                    )
                )
            path = self.folder.sample(step, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
            self.log.append(
                events.Sample(
                    step=step,
                    prompt_index=index,
                    prompt=prompt.prompt,
                    seed=42,
                    width=SIDE_PX,
                    height=SIDE_PX,
                    guidance_scale=1.0,
                    sample_steps=PREVIEWS,
                    path=self.folder.relative(path),
                )
            )
        self.log.append(events.PhaseStarted(phase="train", step=step))

    def measure(self, step: int) -> None:
        drift = 0.05 * step / self.total
        self.log.append(
            events.Measured(
                step=step,
                validation_loss=0.3 - drift,
                drift_without_trigger=drift,
                change_with_trigger=4 * drift,
                seconds=1.0,
            )
        )

    def save(self, step: int) -> None:
        target = self.folder.checkpoint(step)
        target.mkdir(parents=True)
        lora = target / "lora.safetensors"
        lora.write_bytes(LORA)
        self.log.append(
            events.CheckpointSaved(
                step=step,
                path=self.folder.relative(target),
                lora=self.folder.relative(lora),
                size_bytes=len(LORA),
            )
        )
        self.saves.append(step)
        while len(self.saves) > self.job.save.max_step_saves_to_keep:
            old = self.saves.pop(0)
            shutil.rmtree(self.folder.checkpoint(old))
            self.log.append(events.CheckpointRemoved(step=old))

    def may_go_on(self, step: int) -> bool:
        """At a fifth of the way: wait for the word, or for a stop."""
        if step % (self.total // FIFTHS):
            return True
        sys.stdout.flush()
        while not (self.run.path / str(step)).exists():
            if self.is_stopped():
                return False
            time.sleep(TICK_SECONDS)
        return True

    def is_stopped(self) -> bool:
        return any(command.command == "stop" for command in self.commands.new_commands())

    def finish(self, outcome: str, exit_code: int, step: int) -> int:
        self.log.append(
            events.RunFinished(outcome=outcome, exit_code=exit_code, step=step)  # pyright: ignore[reportArgumentType]
        )
        self.log.close()
        return exit_code


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("job", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--run-number", type=int)
    parser.add_argument("--token")
    options, _ = parser.parse_known_args()
    job = read_job_file(options.job)
    folder = JobFolder(options.output, job.job.training_name)
    return Day(job, folder, options.run_number, options.token).live()


if __name__ == "__main__":
    sys.exit(main())
