"""Sends what hooks are to be told: a thread beside the worker's turns, never in a training's way.

A webhook is a POST of one JSON object; any answer from 200 to 299 means that it arrived. A command
gets the same object on its standard input and has done its work when it ends with 0. Neither is
given more than its time, and what fails is tried again after pauses that double.

A command that a person set runs as the worker's user; it is told nothing of our secrets.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import logging
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import OperationalError

from backend import __version__
from backend.db.engine import Database
from backend.hooks.outbox import Claimed, claim_due, settle, targets
from backend.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_LONGEST_ANSWER_BYTES = 4_096


class HookSender:
    """A thread that sends notes while there are hooks to send them to."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)

    def start(self) -> None:
        """Begin to send, if any hook is set."""
        if targets(self._settings):
            self._thread.start()

    def end(self) -> None:
        """Send nothing more; what is under way is cut off if it takes long, and sent again."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def send_next(self) -> bool:
        """Send the first note that is due; whether there was one."""
        settings = self._settings
        with self._database.write() as session:
            hold_seconds = settings.hook_timeout_seconds * 2
            claimed = claim_due(session, settings, hold_seconds=hold_seconds)
        if claimed is None:
            return False
        try:
            error = send(settings, claimed)
        except Exception as surprise:  # a mistake of ours: it must not keep the other notes waiting
            log.exception("%s for %s cannot be sent", claimed.target, claimed.event)
            error = f"it cannot be sent: {type(surprise).__name__}"
        with self._database.write() as session:
            again = settle(
                session,
                claimed.row_id,
                error=error,
                first_pause_seconds=settings.hook_retry_seconds,
            )
        if error is not None:
            when = f"again at {again:%H:%M:%S}" if again else "given up"
            log.warning("%s for %s: %s; %s", claimed.target, claimed.event, error, when)
        return True

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                if self.send_next():
                    continue
            except OperationalError as error:  # locked by a copy, or a full disk: it passes
                log.warning("hooks cannot be sent just now: %s", error.orig)
            self._ending.wait(LOOK_SECONDS)


def send(settings: Settings, claimed: Claimed) -> str | None:
    """One attempt; what went wrong, in words that hold no secret."""
    data = json.dumps(claimed.body, ensure_ascii=False).encode()
    if claimed.target == "webhook":
        return _post(settings, claimed, data)
    return _run_command(settings, claimed, data)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _post(settings: Settings, claimed: Claimed, data: bytes) -> str | None:
    assert settings.hook_url is not None, "only hooks that are set are claimed"
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"darkroom/{__version__}",
        "Darkroom-Event": claimed.event,
        "Darkroom-Delivery": str(claimed.row_id),
    }
    if settings.hook_secret is not None:
        key = settings.hook_secret.get_secret_value().encode()
        headers["Darkroom-Signature"] = f"sha256={hmac.new(key, data, hashlib.sha256).hexdigest()}"
    request = urllib.request.Request(
        settings.hook_url.get_secret_value(), data=data, headers=headers, method="POST"
    )
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(request, timeout=settings.hook_timeout_seconds) as answer:
            answer.read(_LONGEST_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code}"
    except TimeoutError:
        return f"no answer within {settings.hook_timeout_seconds:g} s"
    except urllib.error.URLError as error:
        return f"it cannot be reached: {_reason(error.reason)}"
    except (OSError, ValueError) as error:  # cut off in mid-answer
        return f"it cannot be reached: {type(error).__name__}"
    except http.client.HTTPException as error:  # http:// to a port that speaks TLS, and its like
        return f"it does not answer in HTTP: {type(error).__name__}"
    return None


def _reason(reason: object) -> str:
    """The system's words; other reasons may quote the address, which may hold a token."""
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return type(reason).__name__


def _run_command(settings: Settings, claimed: Claimed, data: bytes) -> str | None:
    try:
        child = subprocess.Popen(
            list(settings.hook_command),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(settings, claimed.body),
            start_new_session=True,
        )
    except OSError as error:
        return f"it cannot be started: {error.strerror}"
    try:
        child.communicate(data, timeout=settings.hook_timeout_seconds)
    except subprocess.TimeoutExpired:
        return f"it did not end within {settings.hook_timeout_seconds:g} s"
    finally:
        # Whatever it started ends with it; the group's number is still taken while it is unreaped.
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    return None if child.returncode == 0 else f"it ended with {child.returncode}"


def _environment(settings: Settings, body: Mapping[str, Any]) -> dict[str, str]:
    job = body.get("job") or {}
    return settings.public_environment() | {
        "DARKROOM_EVENT": str(body["event"]),
        "DARKROOM_JOB": str(job.get("training_name", "")),
        "DARKROOM_JOB_STATUS": str(job.get("status", "")),
    }
