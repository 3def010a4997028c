"""The web server's process: bind, serve, end promptly."""

from __future__ import annotations

import errno
import gc
import signal
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from backend.errors import BadSettings
from backend.main import create_app
from backend.settings import Settings

# Streams end at once (see Server.shutdown); what else is under way has this long.
GRACE_SECONDS = 5
YOUNGER_COLLECTIONS_PER_WHOLE = 200  # 10 in Python itself


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises BadSettings if the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # TCP by name, since asyncio turns Nagle's algorithm off only where a socket says so: otherwise
    # every answer's body waits 40 ms for the browser to confirm its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host.strip("[]"), settings.port))
    except OSError as error:
        listener.close()
        raise BadSettings(_why_not_bound(settings, error)) from None
    listener.set_inheritable(False)
    return listener


def serve(settings: Settings, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; returns after either."""
    # uvicorn raises the signal again once it has shut down; the caller still has things to do.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    Server(config, app, on_ready).run(sockets=[listener])


def address(settings: Settings, listener: socket.socket) -> str:
    """What to open in a browser."""
    port = listener.getsockname()[1]
    if settings.host in ("0.0.0.0", "::", "[::]"):
        return f"http://{socket.gethostname()}:{port}"
    host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
    return f"http://{host}:{port}"


def spare_answers_the_garbage_collector() -> None:
    """To look through everything for garbage would stop an answer now and then for 50 ms.

    What was loaded stays, so nobody looks there. Two hundred open streams are as many objects
    again: a whole collection comes once in minutes, not every five seconds; the young objects, in
    which nearly all of a request's garbage is, are looked through as often as ever.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, YOUNGER_COLLECTIONS_PER_WHOLE)


class Server(uvicorn.Server):
    """uvicorn, that ends the event streams before it waits for its connections."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            spare_answers_the_garbage_collector()
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.feed_watch.close()
        await super().shutdown(sockets)


def _why_not_bound(settings: Settings, error: OSError) -> str:
    place = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{place} is in use, perhaps by another Darkroom: open http://{place} to see. "
            f"Or choose another port: DARKROOM_PORT={settings.port + 1} in .env."
        )
    if error.errno == errno.EACCES:
        return f"{place} needs an administrator's rights. Set DARKROOM_PORT to 1024 or more."
    return (
        f"{place} cannot be used: {error.strerror}. DARKROOM_HOST must be this machine's address."
    )
