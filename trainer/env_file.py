"""What the project's `.env` says, for a trainer that nobody started with it. Imports no torch.

A server reads the file itself and hands on what its trainers need; on the command line nobody does.
"""

from __future__ import annotations

from trainer.folders import PROJECT_FOLDER


def in_env_file(variable: str) -> str | None:
    """The variable's value there; None without one. What the environment says comes first."""
    from dotenv import dotenv_values

    return dotenv_values(PROJECT_FOLDER / ".env").get(variable) or None
