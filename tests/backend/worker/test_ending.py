"""A worker's end, asked for by signals that strike at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from backend.worker.ending import Ending

# Hundreds of signals, each in the middle of a short wait: what deadlocks with threading.Event.
WAITS_UNDER_SIGNALS = """
import signal, sys, threading, time
from backend.worker.ending import Ending

for _ in range(300):
    ending = Ending()
    signal.signal(signal.SIGALRM, lambda *_: ending.set())
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.00005)
    while not ending.wait(0.00001):
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
print("ended")
"""


def test_a_signal_in_the_middle_of_a_wait_ends_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITS_UNDER_SIGNALS],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        check=False,
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")


def test_another_thread_ends_a_wait_at_once() -> None:
    ending = Ending()
    assert not ending.wait(0.001)
    threading.Timer(0.01, ending.set).start()
    began = time.monotonic()
    assert ending.wait(30)
    assert time.monotonic() - began < 15
    assert ending.is_set()
    assert ending.wait(30), "and stays set"
