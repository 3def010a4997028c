"""Prints the OpenAPI file: `python -m backend.openapi > frontend/src/api/openapi.json`.

It depends on the code alone, not on this machine's environment, so that a change in it is a change
of the contract.
"""

from __future__ import annotations

import json
import sys

from backend.main import create_app
from backend.settings import Settings


def openapi_text() -> str:
    """The contract as JSON, the same for the same code."""
    app = create_app(Settings.model_construct())
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(openapi_text())
