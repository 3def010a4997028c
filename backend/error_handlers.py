"""Exceptions into answers. Apart from `errors.py`, since the worker has no use for FastAPI."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from backend.errors import Refused, error_body
from trainer.errors import DarkroomError, Problem


def install_handlers(app: FastAPI) -> None:
    """Give every error of `app` the one shape."""

    def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return JSONResponse(error_body(error.problems), error.status)

    def darkroom(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, DarkroomError)
        return JSONResponse(error_body(error.problems), 422)

    def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return JSONResponse(error_body([_as_problem(d) for d in error.errors()]), 422)

    def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        problem = _of_http(error, request)
        return JSONResponse(error_body([problem]), error.status_code, dict(error.headers or {}))

    def unusable_database(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OperationalError)
        problem = _of_database(error)
        if problem is None:
            raise error
        return JSONResponse(error_body([problem]), 503, {"Retry-After": "5"})

    def mistake(request: Request, _: Exception) -> JSONResponse:
        problem = Problem(
            "server_error",
            f"The server failed at {request.method} {request.url.path}.",
            "Try again; the traceback is in the server's log.",
        )
        return JSONResponse(error_body([problem]), 500)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(DarkroomError, darkroom)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(OperationalError, unusable_database)
    app.add_exception_handler(Exception, mistake)


def _as_problem(details: Mapping[str, Any]) -> Problem:
    place, *names = details["loc"]
    field = ".".join(str(name) for name in names) or str(place)
    return Problem(
        code=details["type"],
        message=f"{field}: {details['msg'][0].lower()}{details['msg'][1:]}.",
        hint=f"Correct it in the {place} of the request; /openapi.json says what is expected.",
        field=field,
        params={"place": str(place)},
    )


def _of_database(error: OperationalError) -> Problem | None:
    """Of trouble that passes; None for a mistake of ours."""
    # The lowest byte is the kind; those above tell more of it.
    match getattr(error.orig, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Problem(
                "database_locked",
                "Another program, perhaps a backup, holds the database; nothing was changed.",
                "Try again in a moment.",
            )
        case sqlite3.SQLITE_FULL:
            return Problem(
                "database_disk_full",
                "The disk that holds the database is full; nothing was changed.",
                "Free space there, then try again.",
            )
        case _:
            return None


def _of_http(error: HTTPException, request: Request) -> Problem:
    asked = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return Problem("not_found", f"There is nothing at {asked}.", "Check the address.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return Problem("method_not_allowed", f"{asked} is not allowed.", f"Use {allowed}.")
    return Problem("http_error", f"{asked}: {error.detail}", "Check the request.")
