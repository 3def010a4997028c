"""What every request passes before a route sees it: Host, token, Origin.

Plain ASGI, since the usual middleware class buffers streams. The built pages are open: they hold
no data, and the form for the token is one of them.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import error_body
from backend.security.hosts import host_is_known, origin_is_own
from backend.security.token import is_admitted
from backend.settings import Settings
from trainer.errors import Problem

OPEN_WITHOUT_TOKEN = frozenset({"/api/health", "/api/session"})
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """Answers for the routes when a request may not reach them."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        answer = self._app if refusal is None else refusal
        await answer(scope, receive, send_with_headers)

    def _refusal(self, method: str, path: str, headers: Headers) -> JSONResponse | None:
        settings = self._settings
        host = headers.get("host", "")
        if not host_is_known(host, settings):
            return _answer(
                400,
                "unknown_host",
                f"This server does not go by the name {host!r}.",
                "Open it by the address it printed, or add the name to DARKROOM_ALLOWED_HOSTS.",
            )
        if settings.token is not None and _is_guarded(path):
            admitted = is_admitted(
                settings.token.get_secret_value(),
                authorization=headers.get("authorization"),
                cookie=headers.get("cookie"),
            )
            if not admitted:
                return _answer(
                    401,
                    "token_needed",
                    "This server asks for its token.",
                    "Send it as 'Authorization: Bearer TOKEN', or type it into the page.",
                )
        if method not in _READING_METHODS and not origin_is_own(
            headers.get("origin"), headers.get("sec-fetch-site"), host, settings
        ):
            return _answer(
                403,
                "foreign_origin",
                f"A page of {headers.get('origin') or 'another site'} may not change things here.",
                "Use the page that this server serves.",
            )
        return None


def _is_guarded(path: str) -> bool:
    is_data = path == "/openapi.json" or path == "/api" or path.startswith("/api/")
    return is_data and path not in OPEN_WITHOUT_TOKEN


def _answer(status: int, code: str, message: str, hint: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(error_body([Problem(code, message, hint)]), status, headers)
