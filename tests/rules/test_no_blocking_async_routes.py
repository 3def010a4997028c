"""Routes are plain functions, which FastAPI runs in threads; only streams may be `async`.

An `async def` route runs on the event loop. A database call or a file read in it holds up every
other request and every stream, and nothing says so: the page just stutters.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

BACKEND = Path(__file__).parents[2] / "backend"
VERBS = {"get", "post", "put", "patch", "delete", "head", "options", "api_route", "route"}
BLOCKING = {
    "time.sleep": "asyncio.sleep",
    "open": "asyncio.to_thread",
    "subprocess.run": "asyncio.to_thread",
    "subprocess.check_output": "asyncio.to_thread",
    "urllib.request.urlopen": "asyncio.to_thread",
}


def routes(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions under a decorator such as `@router.get("/api/jobs")`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr in VERBS:
                yield node
                break


def is_stream(file: Path) -> bool:
    return file.stem in ("stream", "streams")


def blocking_async_routes(source: str) -> list[str]:
    return [r.name for r in routes(ast.parse(source)) if isinstance(r, ast.AsyncFunctionDef)]


def blocking_calls(source: str) -> list[tuple[int, str]]:
    """Line and name of calls in `async def` functions that hold up the event loop."""
    return [
        (call.lineno, name)
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.AsyncFunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and (name := ast.unparse(call.func)) in BLOCKING
    ]


def python_files() -> list[Path]:
    files = sorted(BACKEND.rglob("*.py"))
    assert files
    return files


@pytest.mark.parametrize("file", python_files(), ids=lambda file: str(file.relative_to(BACKEND)))
def test_only_streams_have_async_routes(file: Path) -> None:
    if is_stream(file):
        return
    for name in blocking_async_routes(file.read_text()):
        pytest.fail(
            f"{file.name}: {name} is an `async def` route. Make it `def`: FastAPI then runs it in "
            "a thread, where database and files may block. Streams belong into stream.py."
        )


@pytest.mark.parametrize("file", python_files(), ids=lambda file: str(file.relative_to(BACKEND)))
def test_async_functions_do_not_call_what_blocks(file: Path) -> None:
    for line, name in blocking_calls(file.read_text()):
        pytest.fail(f"{file.name}:{line}: {name} in an async function; use {BLOCKING[name]}.")


def test_there_are_routes_to_look_at() -> None:
    assert sum(len(list(routes(ast.parse(file.read_text())))) for file in python_files()) >= 10


def test_the_rule_finds_an_async_route_and_a_blocking_call() -> None:
    source = '@router.get("/api/jobs")\nasync def jobs():\n    time.sleep(1)\n'
    assert blocking_async_routes(source) == ["jobs"]
    assert blocking_calls(source) == [(3, "time.sleep")]
    assert blocking_async_routes('@router.get("/")\ndef jobs(): ...\n') == []
