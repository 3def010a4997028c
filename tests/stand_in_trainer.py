"""A trainer without torch: speaks the contract (events, commands, files) and behaves as it is told.

    python tests/stand_in_trainer.py run JOB.yaml --output PARENT --run-number N --token T ...
    python tests/stand_in_trainer.py draw DRAWING.yaml --output PARENT ...

A drawing's pictures are grey squares; its trigger word may be ok, fail (at the third picture), wait
(at the second one for commands), killed (at the second one) or picky (the second one fails).
The job's Trigger Word says how:

    ok         steps, samples, saves, completes
    wait       stops stepping half-way and waits for commands; obeys save, sample and stop
    fail       ends with a named error (out of memory) at step 3
    refuse     is refused at its own door, before it began
    traceback  ends with exit code 1 and a traceback, without a last event
    killed     is ended by SIGKILL in the middle of a line
    hang       hears no command after step 2; ends by SIGTERM
    ignore     hears no command after step 2, and no SIGTERM; so does a child of its own
    linger     like ok, but stays after its last word and ignores SIGTERM
    garbage    mixes half lines, unknown events and a huge line into an ok run
    crowded    waits for space before its first save, until the file `room` lies in its run folder
    painting   shows how its first picture is becoming, after 3 and after 7 of 10 denoising steps;
               goes on from each when the file `go-3`, then `go-7`, lies in its run folder
    sleepy     like ok, but keeps silent until the file `go` lies in its run folder
    chain      takes its time over each step, ends well by SIGTERM, and its files hold a digest of
               every step since the first: a step that is lost or doubled changes the result; its
               runs of odd numbers have a child, as a run that encodes, which ends with them only if
               somebody sees to it

It goes on from the newest checkpoint in the job's folder, as the real one does.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from PIL import Image, PngImagePlugin

from trainer import events, folder_lock
from trainer.commands import CommandReader
from trainer.config import JobConfig
from trainer.drawing_config import DrawingConfig
from trainer.drawing_door import parse_drawing
from trainer.durable_write import new_folder, remove_leftovers, write_bytes
from trainer.errors import FolderInUse, OutOfMemory, StopRequested
from trainer.job_file import read_job_file, read_yaml, write_job_file
from trainer.job_folder import LORA_FILE, MANIFEST_FILE, RECIPE_CHUNK, JobFolder
from trainer.live_changes import changed_job

EMPTY_SAFETENSORS = (2).to_bytes(8, "little") + b"{}"
CHAIN_STEP_SECONDS = 0.02
SLEEP = "import time; time.sleep(600)"


def next_link(chain: str, step: int) -> str:
    """The digest of all steps up to this one."""
    return hashlib.sha256(f"{chain} {step}".encode()).hexdigest()


def chain_after(steps: int) -> str:
    """The digest after so many undisturbed steps."""
    chain = ""
    for step in range(1, steps + 1):
        chain = next_link(chain, step)
    return chain


def chain_file(chain: str) -> bytes:
    """A safetensors file without tensors, the digest in its metadata."""
    header = json.dumps({"__metadata__": {"chain": chain}}).encode()
    return len(header).to_bytes(8, "little") + header


def read_chain(file: Path) -> str | None:
    """The digest in the file; None if it is damaged or not there."""
    try:
        data = file.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return header["__metadata__"]["chain"]
    except (OSError, ValueError, KeyError):
        return None


class StandIn:
    """One run."""

    def __init__(
        self, job: JobConfig, folder: JobFolder, run_number: int, token: str, resume: str
    ) -> None:
        self.resume = resume
        self.job = job
        self.folder = folder
        self.number = run_number
        self.token = token
        self.run = folder.run(run_number)
        self.behaviour = job.job.trigger_word
        self.total = job.training.steps
        self.log = events.EventLog(self.run.events)
        self.commands = CommandReader(self.run.commands)
        self.stop = False
        self.chain = ""
        self.damaged: list[int] = []
        self.superseded_after: int | None = None
        self.child: subprocess.Popen[bytes] | None = None

    def train(self) -> int:
        remove_leftovers(self.folder.checkpoints)
        first = self.first_step()
        self.log.append(
            events.RunStarted(
                training_name=self.folder.training_name,
                run_number=self.number,
                token=self.token,
                process_id=os.getpid(),
                host=platform.node(),
                device="cpu",
                num_threads=1,
                versions={},
                total_steps=self.total,
            )
        )
        self.remove_damaged()
        self.log.append(events.RunBegins(resumed_from_step=first or None))
        if self.superseded_after is not None:
            self.log.append(events.Superseded(after_step=self.superseded_after, path=""))
        if self.behaviour == "chain":
            write_job_file(self.run.job_file, self.job)
        if self.behaviour == "chain" and self.number % 2:
            self.child = subprocess.Popen([sys.executable, "-S", "-c", SLEEP])
        if self.behaviour == "sleepy":
            self.until(lambda: (self.run.path / "go").exists())
        self.log.append(events.PhaseStarted(phase="encode", message="pictures"))
        self.log.append(events.Progress(phase="encode", done=1, total=1, message="pictures"))
        if first == 0:
            self.sample(0)
        for step in range(first + 1, self.total + 1):
            self.step(step)
            self.misbehave(step)
            if step % self.job.save.save_every == 0 and step != self.total:
                self.save(step)
            if step % self.job.sample_every == 0 and step != self.total:
                self.sample(step)
            if self.behaviour == "wait" and step == max(first + 1, self.total // 2):
                self.until(lambda step=step: self.obey(step))
            if self.obey(step):
                return self.stopped(step)
        return self.complete()

    def first_step(self) -> int:
        """That of the newest checkpoint that is whole; damaged ones are to be removed."""
        if self.resume != "auto":
            self.set_aside(0 if self.resume == "never" else int(self.resume))
        saved = self.folder.checkpoint_steps()
        if self.behaviour != "chain":
            return saved[-1] if saved else 0
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stop", True))
        for step in reversed(saved):
            chain = read_chain(self.folder.checkpoint(step) / "lora.safetensors")
            if chain is not None:
                self.chain = chain
                return step
            self.damaged.append(step)
        return 0

    def remove_damaged(self) -> None:
        for step in self.damaged:
            self.log.append(events.CheckpointRemoved(step=step))
            shutil.rmtree(self.folder.checkpoint(step))

    def set_aside(self, step: int) -> None:
        """What came after the step that was chosen; here, for good."""
        for later in [saved for saved in self.folder.checkpoint_steps() if saved > step]:
            shutil.rmtree(self.folder.checkpoint(later))
        self.superseded_after = step

    def until(self, condition) -> None:
        while not condition():
            time.sleep(0.01)

    def obey(self, step: int) -> bool:
        for command in self.commands.new_commands():
            self.log.append(
                events.CommandTaken(
                    command=command.command,
                    command_seq=command.seq,
                    step=step,
                    settings=command.settings,
                )
            )
            if command.command == "change":
                self.job = changed_job(self.job, command.settings, step=step)
            elif command.command == "save":
                self.save(step)
            elif command.command == "sample":
                self.sample(step)
            else:
                self.stop = True
        return self.stop

    def step(self, step: int) -> None:
        if self.behaviour == "chain":
            time.sleep(CHAIN_STEP_SECONDS)
            self.chain = next_link(self.chain, step)
        self.log.append(
            events.Step(
                step=step,
                loss=1.0 / step,
                objective=1.0 / step,
                learning_rate=1e-4,
                gradient_norm=0.5,
                step_seconds=0.01,
            )
        )
        print(f"step {step}", flush=True)

    def sample(self, step: int) -> None:
        self.log.append(events.PhaseStarted(phase="sample", step=step))
        for index, prompt in enumerate(self.job.sample.prompts):
            path = self.folder.sample(step, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.behaviour == "painting" and step == 0 and index == 0:
                self.paint()
            Image.new("RGB", (16, 16), (step % 256, index, self.number)).save(path)
            self.log.append(
                events.Sample(
                    step=step,
                    prompt_index=index,
                    prompt=prompt.prompt,
                    seed=42,
                    width=16,
                    height=16,
                    guidance_scale=1.0,
                    sample_steps=4,
                    path=self.folder.relative(path),
                )
            )
        self.log.append(events.PhaseStarted(phase="train", step=step))

    def paint(self) -> None:
        """Previews of the first picture, each until it was seen."""
        for done in (3, 7):
            Image.new("RGB", (4, 4), (done * 30, 99, 99)).save(self.run.preview)
            self.log.append(
                events.SamplePreview(
                    step=0,
                    prompt_index=0,
                    prompt=self.job.sample.prompts[0].prompt,
                    done=done,
                    total=10,
                    path=self.run.preview.name,
                )
            )
            self.until(lambda done=done: (self.run.path / f"go-{done}").exists())

    def save(self, step: int) -> None:
        self.log.append(events.PhaseStarted(phase="save", step=step))
        if self.behaviour == "crowded" and not (self.run.path / "room").exists():
            self.log.append(
                events.WaitingForSpace(
                    phase="save",
                    folder=str(self.folder.path),
                    needed_bytes=812_000_000,
                    free_bytes=120_000_000,
                )
            )
            self.until(lambda: (self.run.path / "room").exists())
            self.log.append(events.PhaseStarted(phase="save", step=step))
        target = self.folder.checkpoint(step)
        if not target.exists():
            with new_folder(target) as temporary:
                (temporary / LORA_FILE).write_bytes(self.lora())
                manifest = {"step": step, "files": {LORA_FILE: {"size_bytes": len(self.lora())}}}
                (temporary / MANIFEST_FILE).write_text(json.dumps(manifest))
        self.log.append(
            events.CheckpointSaved(
                step=step,
                path=self.folder.relative(target),
                lora=self.folder.relative(target / "lora.safetensors"),
                size_bytes=len(EMPTY_SAFETENSORS) + 1000,  # the folder's, with its state
            )
        )
        self.log.append(events.PhaseStarted(phase="train", step=step))

    def lora(self) -> bytes:
        return chain_file(self.chain) if self.behaviour == "chain" else EMPTY_SAFETENSORS

    def stopped(self, step: int) -> int:
        self.save(step)
        self.finish("stopped", StopRequested.exit_code, step)
        return StopRequested.exit_code

    def complete(self) -> int:
        self.save(self.total)
        self.sample(self.total)
        write_bytes(self.folder.result, self.lora())
        self.finish("completed", 0, self.total, lora=self.folder.result.name)
        if self.behaviour == "linger":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.forever()
        return 0

    def finish(self, outcome, exit_code: int, step: int, **more) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
        self.log.append(events.RunFinished(outcome=outcome, exit_code=exit_code, step=step, **more))

    def misbehave(self, step: int) -> None:
        if self.behaviour == "fail" and step == 3:
            error = OutOfMemory("The device has no memory left.", "Lower the resolution.")
            problems = [problem.as_dict() for problem in error.problems]
            self.finish("failed", error.exit_code, step, phase="train", problems=problems)
            sys.exit(error.exit_code)
        if self.behaviour == "traceback" and step == 3:
            for number in range(40):
                print(f"line {number}")
            raise ZeroDivisionError("by the stand-in")
        if self.behaviour == "killed" and step == 3:
            with self.run.events.open("ab") as file:
                file.write(b'{"seq": 99, "type": "st')
            os.kill(os.getpid(), signal.SIGKILL)
        if self.behaviour == "hang" and step == 2:
            self.forever()
        if self.behaviour == "ignore" and step == 2:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", SLEEP])
            (self.run.path / "child").write_text(str(child.pid))
            self.forever()
        if self.behaviour == "garbage" and step == 2:
            with self.run.events.open("ab") as file:
                file.write(b"not json at all\n" * 3)
                file.write(b'{"type": "step", "step": "two"}\n[1, 2]\n')
                file.write(b'{"type": "from_the_future", "seq": 7}\n' * 2)
                file.write(b'{"type": "progress", "phase": "train", "done": 1e999, "total": 1}\n')
                file.write(b'{"type": "sample_failed", "step": 99999999999999999999999, ')
                file.write(b'"prompt_index": 0, "prompt": "\\ud800", "message": ""}\n')
                file.write(b'{"type": "step", "step": 2, "loss": NaN, "objective": 1, ')
                file.write(b'"learning_rate": 1, "gradient_norm": 1, "step_seconds": 1}\n')
                file.write(b"x" * (3 << 20) + b"\n")

    def forever(self) -> NoReturn:
        while True:
            time.sleep(60)


def draw(drawing: DrawingConfig, folder: JobFolder, run_number: int, token: str) -> int:
    """What is missing of a drawing."""
    run = folder.run(run_number)
    write_job_file(run.job_file, drawing)
    log, commands = events.EventLog(run.events), CommandReader(run.commands)
    log.append(
        events.RunStarted(
            training_name=drawing.name,
            run_number=run_number,
            token=token,
            process_id=os.getpid(),
            host=platform.node(),
            device="cpu",
            total_steps=drawing.num_units,
        )
    )
    log.append(events.RunBegins())
    log.append(events.PhaseStarted(phase="sample", message="pictures"))

    def finish(outcome, exit_code: int, step: int, **more) -> int:
        log.append(events.RunFinished(outcome=outcome, exit_code=exit_code, step=step, **more))
        return exit_code

    for index, picture in enumerate(drawing.pictures):
        path = folder.sample(0, index)
        if path.exists():
            continue
        if drawing.trigger_word == "fail" and index == 2:
            error = OutOfMemory("The device has no memory left.", "Draw smaller pictures.")
            return finish(
                "failed", error.exit_code, 0, problems=[p.as_dict() for p in error.problems]
            )
        if drawing.trigger_word == "killed" and index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        while drawing.trigger_word == "wait" and index == 1:
            if any(command.command == "stop" for command in commands.new_commands()):
                return finish("stopped", StopRequested.exit_code, index)
            time.sleep(0.01)
        if drawing.trigger_word == "picky" and index == 1:
            log.append(
                events.SampleFailed(
                    step=0, prompt_index=index, prompt=picture.prompt, message="ValueError: odd"
                )
            )
            continue
        recipe = {
            "step": 0,
            "prompt_index": index,
            "prompt": picture.prompt,
            "seed": 42,
            "width": 16,
            "height": 16,
            "guidance_scale": 1.0,
            "sample_steps": 4,
            "lora_strength": picture.lora_strength,
        }
        chunks = PngImagePlugin.PngInfo()
        chunks.add_itxt(RECIPE_CHUNK, json.dumps(recipe))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), index).save(path, pnginfo=chunks)
        log.append(events.Sample.model_validate(recipe | {"path": folder.relative(path)}))
    return finish("completed", 0, len(folder.sample_files()))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["run", "draw"])
    parser.add_argument("job", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--run-number", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--resume", default="auto")
    for name in ("datasets", "models", "cache"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "draw":
        drawing = parse_drawing(read_yaml(options.job))
        folder = JobFolder(options.output, drawing.name)
        with folder_lock.held(folder.lock):
            return draw(drawing, folder, options.run_number, options.token)
    job = read_job_file(options.job)
    folder = JobFolder(options.output, job.job.training_name)
    if job.job.trigger_word == "refuse":
        print("error: the stand-in was told to refuse", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(folder_lock.held(folder.lock))
        except FolderInUse as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        return StandIn(job, folder, options.run_number, options.token, options.resume).train()


if __name__ == "__main__":
    sys.exit(main())
