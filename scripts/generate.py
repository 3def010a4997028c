"""`make types`: write everything that follows from the code, none of it by hand.

| file                          | follows from                                   |
|-------------------------------|------------------------------------------------|
| frontend/src/api/openapi.json | the routes, and the job schema within them     |
| frontend/src/api/schema.d.ts  | openapi.json                                   |
| docs/settings.md              | the job schema in trainer/config.py            |
| docs/memory-plan.md, its table | the memory plan                               |
| trainer/model_shapes.json     | Diffusers' and transformers' classes           |

tests/rules/test_generated_files.py and tests/scripts/test_model_shapes.py fail while one of them is
stale.
"""

import os
import subprocess
from pathlib import Path

from backend.openapi import openapi_text
from card_table import PAGE as CARDS
from card_table import page_with_table
from install import FRONTEND, node_path, npm_command
from steps import ROOT, run_step
from trainer.model_shapes import TABLE
from trainer.settings_reference import PAGE, settings_page

OPENAPI = FRONTEND / "src" / "api" / "openapi.json"
TYPES = FRONTEND / "src" / "api" / "schema.d.ts"


def main() -> None:
    written = written_by_python() | written_with_torch()
    changed = [file for file, text in written.items() if replace(file, text)]
    before = TYPES.read_text() if TYPES.exists() else ""
    run_step(
        "TypeScript types",
        [*npm_command(), "run", "types"],
        cure="The generator could not read openapi.json; its words are above.",
        environment=node_path(),
        folder=FRONTEND,
    )
    if TYPES.read_text() != before:
        changed.append(TYPES)
    for file in changed:
        print(f"  changed: {file.relative_to(ROOT)}")
    if not changed:
        print("  All were current.")


def written_by_python() -> dict[Path, str]:
    return {OPENAPI: openapi_text(), PAGE: settings_page(), CARDS: page_with_table()}


def written_with_torch() -> dict[Path, str]:
    from model_shapes import shapes_text

    return {TABLE: shapes_text()}


def types_are_current() -> subprocess.CompletedProcess[str]:
    """Ask the generator itself whether the types follow from the present openapi.json."""
    return subprocess.run(
        [str(word) for word in (*npm_command(), "run", "types:check")],
        cwd=FRONTEND,
        env={**os.environ, **node_path()},
        capture_output=True,
        text=True,
        check=False,
    )


def replace(file: Path, text: str) -> bool:
    """Write the file if it differs; whether it did."""
    if file.exists() and file.read_text() == text:
        return False
    file.write_text(text)
    return True


if __name__ == "__main__":
    main()
