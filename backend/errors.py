"""What the server refuses, as `{"errors": [{code, message, hint, field, params}]}`.

    Exception
    ├── BadSettings          the environment or .env cannot work; ends the command, exit 2
    └── Refused              a request that is answered with problems
        ├── NotFound    404  no such thing
        ├── Conflict    409  the thing is in a state that does not allow it
        ├── NotAllowed  401  no token, or a wrong one
        ├── Forbidden   403  from a page of another origin
        └── Unusable    422  what was sent cannot be used

Each sentence says the value and the cure. `trainer.errors.Problem` is the wire form of one entry.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from trainer.errors import DarkroomError, Problem

log = logging.getLogger(__name__)


class BadSettings(Exception):
    """The environment or .env cannot work."""


class Refused(Exception):
    """A request that is answered with problems; `problems` holds one entry for each."""

    status = 400

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        field: str | None = None,
        params: Mapping[str, Any] | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        own = Problem(code, message, hint, field, params=params or {})
        self.problems = tuple(problems) or (own,)


class NotFound(Refused):
    """No such thing."""

    status = 404


class Conflict(Refused):
    """The thing is in a state that does not allow what was asked."""

    status = 409


class NotAllowed(Refused):
    """No token was given, or a wrong one."""

    status = 401


class Forbidden(Refused):
    """The request comes from a page of another origin."""

    status = 403


class Unusable(Refused):
    """What was sent cannot be used."""

    status = 422


class ErrorEntry(BaseModel):
    """One thing wrong: a stable code, a sentence, its cure, the field it belongs to, values."""

    code: str
    message: str
    hint: str
    field: str | None
    params: dict[str, Any]


class ErrorAnswer(BaseModel):
    """The body of every answer from 400 upwards."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "errors": [
                    {
                        "code": "job_name_taken",
                        "message": "There is a job named tiny-style already.",
                        "hint": "Choose another training name, or delete that job.",
                        "field": "job.training_name",
                        "params": {"training_name": "tiny-style", "job_id": 1},
                    }
                ]
            }
        }
    )
    errors: list[ErrorEntry] = Field(min_length=1)


_MEANINGS = {
    400: "The request is malformed or addressed to an unknown host.",
    401: "The token is missing or wrong.",
    403: "The request comes from another origin.",
    404: "There is no such thing.",
    409: "The state of the job does not allow it.",
    422: "What was sent cannot be used; one entry for each fault.",
    500: "Our own mistake; the server's log has the traceback.",
}


def error_responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for a route that may answer with `codes` beside the usual ones."""
    every = sorted({400, 401, 403, 422, 500, *codes})
    return {code: {"model": ErrorAnswer, "description": _MEANINGS[code]} for code in every}


def error_body(problems: Sequence[Problem]) -> dict[str, Any]:
    """The one error shape."""
    keys = ("code", "message", "hint", "field", "params")
    entries = [problem.as_dict() for problem in problems]
    return {"errors": [{key: entry[key] for key in keys} for entry in entries]}


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


def _of_http(error: HTTPException, request: Request) -> Problem:
    asked = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return Problem("not_found", f"There is nothing at {asked}.", "Check the address.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return Problem("method_not_allowed", f"{asked} is not allowed.", f"Use {allowed}.")
    return Problem("http_error", f"{asked}: {error.detail}", "Check the request.")
