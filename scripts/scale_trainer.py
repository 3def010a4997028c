"""A trainer that only speaks: for scale_benchmark.py, at the pace of a real one.

The Trigger Word `pace2` says how many steps a second. It takes a stop and completes otherwise.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from pathlib import Path

from trainer.commands import CommandReader
from trainer.events import EventLog, PhaseStarted, RunBegins, RunFinished, RunStarted, Step
from trainer.job_file import read_job_file
from trainer.job_folder import JobFolder


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("job", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--run-number", type=int)
    parser.add_argument("--token")
    options, _ = parser.parse_known_args()
    job = read_job_file(options.job)
    name, steps = job.job.training_name, job.training.steps
    pause_seconds = 1 / float(job.job.trigger_word.removeprefix("pace"))
    run = JobFolder(options.output, name).run(options.run_number)
    log, commands = EventLog(run.events), CommandReader(run.commands)
    log.append(
        RunStarted(
            training_name=name,
            run_number=options.run_number,
            token=options.token,
            process_id=os.getpid(),
            host=socket.gethostname(),
            total_steps=steps,
        )
    )
    log.append(RunBegins())
    log.append(PhaseStarted(phase="train"))
    outcome, code, step = "completed", 0, 0
    for step in range(1, steps + 1):
        time.sleep(pause_seconds)
        log.append(
            Step(
                step=step,
                loss=0.5,
                objective=0.5,
                learning_rate=1e-4,
                gradient_norm=1.0,
                step_seconds=pause_seconds,
            )
        )
        if any(command.command == "stop" for command in commands.new_commands()):
            outcome, code = "stopped", 3
            break
    log.append(RunFinished(outcome=outcome, exit_code=code, step=step))  # pyright: ignore[reportArgumentType]
    log.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
