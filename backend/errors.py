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

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from trainer.errors import Problem


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


def error_responses_beside(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The same for a route whose own answer is no JSON, whose media type FastAPI would give them.

    The reference holds since other routes bring the model into the document.
    """
    schema = {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}
    return {
        code: {
            "description": response["description"],
            "content": {"application/json": {"schema": schema}},
        }
        for code, response in error_responses(*codes).items()
    }


def error_body(problems: Sequence[Problem]) -> dict[str, Any]:
    """The one error shape."""
    keys = ("code", "message", "hint", "field", "params")
    entries = [problem.as_dict() for problem in problems]
    return {"errors": [{key: entry[key] for key in keys} for entry in entries]}
