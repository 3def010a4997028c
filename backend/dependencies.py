"""What routes ask for.

Coroutines, although they wait for nothing: a plain function would be run in a thread, which takes
longer than many an answer.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from backend.db.engine import Database
from backend.settings import Settings


async def _settings(request: Request) -> Settings:
    return request.app.state.settings


async def _database(request: Request) -> Database:
    return request.app.state.database


SettingsOf = Annotated[Settings, Depends(_settings)]
DatabaseOf = Annotated[Database, Depends(_database)]
