"""Trainers without processes: they say and do what a test tells them, in this process.

Everything on this side of the launcher is real: the worker, its database, the run's files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from backend.launchers.launcher import Ended, Order, TrainerProcess
from backend.system.schemas import DeviceEntry
from trainer.events import Event, EventLog, RunBegins, RunFinished, RunStarted, Step
from trainer.job_folder import JobFolder, RunFolder

EXIT_CODES = {"completed": 0, "stopped": 3, "failed": 9}


@dataclass
class Puppet:
    """One trainer. exit_code: None of one that nobody saw end."""

    files: RunFolder
    training_name: str
    device: str
    token: str
    is_alive: bool = True
    exit_code: int | None = None
    _log: EventLog = field(init=False)

    def __post_init__(self) -> None:
        self._log = EventLog(self.files.events)
        self._log.append(
            RunStarted(
                training_name=self.training_name,
                run_number=self.files.number,
                token=self.token,
                process_id=1,
                host="here",
                device=self.device,
                total_steps=100,
            )
        )

    def begin(self, step: int) -> None:
        """Say where the run begins, and take a step."""
        self._log.append(RunBegins(resumed_from_step=step or None))
        self._log.append(
            Step(
                step=step + 1,
                loss=1.0,
                objective=1.0,
                learning_rate=1e-4,
                gradient_norm=1.0,
                step_seconds=0.1,
            )
        )

    def say(self, event: Event) -> None:
        """Any other event."""
        self._log.append(event)

    def finish(self, outcome: Literal["completed", "stopped", "failed"]) -> None:
        """Say a last word, and end."""
        code = EXIT_CODES[outcome]
        problem = {"code": "disk_full", "message": "The disk is full.", "hint": "Make room."}
        problems = [problem] if outcome == "failed" else []
        self._log.append(RunFinished(outcome=outcome, exit_code=code, step=1, problems=problems))
        self.end(code)

    def end(self, exit_code: int | None) -> None:
        """End without a word; None: nobody sees with which code."""
        self._log.close()
        self.is_alive, self.exit_code = False, exit_code


class Puppeteer:
    """A launcher whose trainers are puppets; several workers may share it."""

    def __init__(self) -> None:
        self.of_token: dict[str, Puppet] = {}

    def start(self, order: Order) -> TrainerProcess:
        words = list(order.command)
        folder = JobFolder(Path(words[words.index("--output") + 1]), _training_name(words))
        number = int(words[words.index("--run-number") + 1])
        device = order.environment["CUDA_VISIBLE_DEVICES"] or "cpu"
        assert order.token not in self.of_token, "a run is started once"
        self.of_token[order.token] = Puppet(
            folder.run(number), folder.training_name, device, order.token
        )
        return TrainerProcess(len(self.of_token), 1, order.token)

    def find(self, token: str) -> TrainerProcess | None:
        puppet = self.of_token.get(token)
        return TrainerProcess(1, 1, token) if puppet is not None and puppet.is_alive else None

    def poll(self, process: TrainerProcess) -> Ended | None:
        puppet = self.of_token[process.token]
        return None if puppet.is_alive else Ended(puppet.exit_code)

    def terminate(self, process: TrainerProcess) -> None:
        self.of_token[process.token].end(-15)

    def kill(self, process: TrainerProcess) -> None:
        self.of_token[process.token].end(-9)

    @property
    def living(self) -> list[Puppet]:
        """The trainers that live, the oldest first."""
        return [puppet for puppet in self.of_token.values() if puppet.is_alive]


def _training_name(words: list[str]) -> str:
    return Path(words[words.index("run") + 1]).parent.name


def device(name: str) -> DeviceEntry:
    """A card by its UUID, or the CPU."""
    return DeviceEntry(id=name, name=name, memory_total_bytes=24 << 30, memory_used_bytes=0)
