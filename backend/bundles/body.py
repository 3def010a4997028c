"""A request's body as a file that is read while it arrives, by a route that is a plain function.

The route runs in a thread of the server's pool and asks the event loop for one chunk at a time, so
an upload of gigabytes takes no more memory than a small one and stands in nobody's way.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import anyio
from anyio import from_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from backend.errors import Refused

SILENCE_SECONDS = 60.0


class BrokenUpload(Refused):
    """The body did not arrive; nobody may be there to hear it."""

    def __init__(self, what: str) -> None:
        super().__init__("upload_broken", f"The upload broke off: {what}.", "Send it again.")


class BodyStream(io.RawIOBase):
    """Reads the body of a request from a thread of the server's pool."""

    def __init__(self, request: Request, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._chunks: AsyncIterator[bytes] = request.stream()
        self._silence_seconds = silence_seconds

    def readable(self) -> bool:
        """It can be read, and nothing else."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes as they came, however many; none at the end. Raises BrokenUpload."""
        try:
            return from_thread.run(self._next)
        except ClientDisconnect:
            raise BrokenUpload("the sender went away") from None
        except TimeoutError:
            silence = f"{self._silence_seconds:.0f} seconds"
            raise BrokenUpload(f"nothing came for {silence}") from None

    async def _next(self) -> bytes:
        with anyio.fail_after(self._silence_seconds):
            async for chunk in self._chunks:
                if chunk:
                    return chunk
        return b""
