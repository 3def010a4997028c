"""Health, the token's cookie, and the machine."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from backend import __version__
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import NotAllowed, error_responses
from backend.rescan.rescan import rescan
from backend.rescan.schemas import RescanReport
from backend.security.token import SESSION_COOKIE, session_value, token_matches
from backend.system.load import LoadRing
from backend.system.schemas import Health, LoadHistory, SystemState, TokenGiven
from backend.system.state import system_state

router = APIRouter(tags=["system"])


@router.get("/health", responses=error_responses())
def health() -> Health:
    """Whether the server answers; open without the token."""
    return Health(version=__version__)


@router.post("/session", status_code=204, responses=error_responses())
def open_session(given: TokenGiven, request: Request, settings: SettingsOf) -> Response:
    """Exchange the token for a cookie that this browser sends from now on."""
    answer = Response(status_code=204)
    if settings.token is None:
        return answer
    token = settings.token.get_secret_value()
    if not token_matches(given.token, token):
        raise NotAllowed("wrong_token", "This is not the token.", "It stands in DARKROOM_TOKEN.")
    answer.set_cookie(
        SESSION_COOKIE,
        session_value(token),
        max_age=90 * 24 * 3600,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.delete("/session", status_code=204, responses=error_responses())
def close_session() -> Response:
    """Forget the token in this browser."""
    answer = Response(status_code=204)
    answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    return answer


@router.get("/system", responses=error_responses())
def read_system(settings: SettingsOf, database: DatabaseOf) -> SystemState:
    """Devices, worker, disk and folders. Secrets are never in it."""
    with database.read() as session:
        return system_state(session, settings)


@router.get("/system/load", responses=error_responses())
def read_load(request: Request) -> LoadHistory:
    """What the devices did over the last quarter of an hour; the event `load` brings the next."""
    ring: LoadRing = request.app.state.feed_watch.load
    return ring.history()


@router.post("/system/rescan", responses=error_responses())
def rescan_output(
    settings: SettingsOf,
    database: DatabaseOf,
    only: Annotated[
        str | None, Query(max_length=64, description="Training name: this job's folder alone.")
    ] = None,
) -> RescanReport:
    """Bring jobs, runs, pictures, checkpoints and curves back from the output folder.

    What is known stays as it is, what trains is left alone; twice is harmless.
    """
    return rescan(database, settings, only=only)
