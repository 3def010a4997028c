"""Every answer says how far the news had come when it was asked for.

A page asks for what it shows and opens its stream at the same time. What happened after an answer
was read and before the stream began is in neither, so the page would have to ask for everything
twice, the second time with its stream open. The header lets it tell which answers are old: those
whose number is below the one that the stream's first event, `open`, begins from.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.jobs.feed_watch import FeedWatch

NEWS_HEADER = "Darkroom-News"


class AnswerAge:
    """Adds `Darkroom-News: N`: the answer has all that the feed told up to row N, or more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        watch: FeedWatch = scope["app"].state.feed_watch
        header = (NEWS_HEADER.lower().encode(), str(watch.newest).encode())

        async def send_with_age(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], header]
            await send(message)

        await self._app(scope, receive, send_with_age)
