"""The socket that the server listens on."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend.server import bind
from tests.backend.installation import settings_in


def test_an_answers_body_does_not_wait_until_its_head_is_confirmed(tmp_path: Path) -> None:
    listener = bind(settings_in(tmp_path, port=0))
    # In a thread, since a browser of other tests may have a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(lambda: asyncio.run(_no_delay_of_a_connection(listener)))
        assert found.result() != 0


async def _no_delay_of_a_connection(listener: socket.socket) -> int:
    """TCP_NODELAY as asyncio sets it on what comes in; it goes by what the listener says it is."""
    options: asyncio.Queue[int] = asyncio.Queue()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        await options.put(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(answer, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.close()
        return await options.get()
