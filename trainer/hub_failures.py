"""Which of the things that can be wrong with a download is: in words, with its cure."""

from __future__ import annotations

from trainer.errors import DarkroomError, Problem

_FIELD = "model.name_or_path"
_TOKEN_PAGE = "https://huggingface.co/settings/tokens"
_BAD_TOKEN_WORDS = "invalid credentials"


def problem_of_failure(
    repo_id: str, error: Exception | None, *, is_offline: bool, has_token: bool
) -> Problem:
    """The problem to tell for what huggingface_hub raised.

    error: None when it is known without asking: the hub is switched off, or there is no token.
    """
    from huggingface_hub import errors

    if isinstance(error, DarkroomError):
        return error.problems[0]
    page = f"https://huggingface.co/{repo_id}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    params = {"repo_id": repo_id, "page": page, "status": status}

    def problem(code: str, message: str, hint: str) -> Problem:
        return Problem(code, message, hint, _FIELD, params=params)

    if is_offline:
        return problem(
            "model_offline",
            f"{repo_id} is not on this machine whole, and HF_HUB_OFFLINE keeps the network off.",
            "Unset HF_HUB_OFFLINE, or copy the model here and give its folder as Name or Path.",
        )
    is_refused = error is None or status in (401, 403)
    if is_refused and has_token and _says_bad_token(error):
        return problem(
            "model_token_wrong",
            "The hub does not know the token on this machine: it is mistyped, or was revoked.",
            f"Make a new one at {_TOKEN_PAGE} and set it as HF_TOKEN in .env.",
        )
    if is_refused and not has_token:
        return problem(
            "model_needs_token",
            f"{repo_id} is handed out to accounts only, and there is no token on this machine.",
            f"Accept the licence at {page}, make a token at {_TOKEN_PAGE}, and set it as HF_TOKEN "
            "in .env.",
        )
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return problem(
            "model_licence_not_accepted",
            f"The account of the token on this machine may not read {repo_id}.",
            f"Open {page} with that account and accept the licence; a fine-grained token also "
            "needs the permission to read gated repositories.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return Problem(
            "model_revision_missing",
            f"{repo_id} has no such Revision.",
            f"{page} lists its branches, tags and commits; blank takes main.",
            "model.revision",
            params=params,
        )
    if isinstance(error, errors.RepositoryNotFoundError | errors.RemoteEntryNotFoundError):
        return problem(
            "model_not_on_hub",
            f"The hub has no model {repo_id} that this account may see, and no folder of that "
            "name is here.",
            "Check Name or Path: a folder in the models folder, an absolute path, or owner/name.",
        )
    return problem(
        "model_offline",
        f"{repo_id} is not on this machine whole, and the hub cannot be reached: "
        f"{_first_line(error)}",
        "Check the connection and start the job again: the download goes on where it ended. Or "
        "copy the model here and give its folder as Name or Path.",
    )


def _says_bad_token(error: Exception | None) -> bool:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    said = f"{headers.get('X-Error-Message', '')} {error}".lower()
    return _BAD_TOKEN_WORDS in said


def _first_line(error: Exception | None) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
