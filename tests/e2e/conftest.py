"""A whole Darkroom for the browser: real server, real worker, real trainer, the built pages.

Everything lives in a temporary folder and on a free port; each test's Darkroom starts empty.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from darkroom_apart import Darkroom, TwoPrograms, darkroom_in, two_programs_in  # noqa: E402, F401
from day_benchmark import live_through  # noqa: E402, F401
from ensure_browser import QUIET, ensure_browser  # noqa: E402

# A training computes beside the page; on two busy cores an answer may take seconds.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def built_pages() -> None:
    """What a Darkroom of these tests serves."""
    if not (ROOT / "frontend" / "dist" / "index.html").is_file():
        pytest.fail("The pages are not built. `make install` builds them.")


@pytest.fixture
def darkroom(tmp_path: Path, built_pages: None) -> Iterator[Darkroom]:
    """A Darkroom of its own for one test; ends with every process that it started."""
    with darkroom_in(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium for all tests of the session."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(ensure_browser()), args=QUIET)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, darkroom: Darkroom) -> Iterator[Page]:
    """A fresh browser profile at the dashboard; errors on the page's console fail the test."""
    with PageWithoutErrors(browser, darkroom.address) as opened:
        yield opened


class PageWithoutErrors:
    """A page in a profile of its own that must not log an error while it is open.

    `expected` are words of errors that belong to what the test does; the rest is for the profile.
    A preview that is gone belongs to every test: its picture may be there before it was fetched.
    """

    def __init__(
        self, browser: Browser, address: str, *, expected: Sequence[str] = (), **profile: Any
    ) -> None:
        self._context = browser.new_context(base_url=address, accept_downloads=True, **profile)
        self._context.set_default_timeout(60_000)
        self._expected = ("net::ERR", *expected)
        self._errors: list[str] = []

    def __enter__(self) -> Page:
        page = self._context.new_page()
        page.on("pageerror", lambda error: self._errors.append(str(error)))
        page.on("console", self._note)
        page.goto("/")
        return page

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert not self._errors, self._errors

    def _note(self, message: Any) -> None:
        where = (message.location or {}).get("url", "")
        is_late_preview = "404" in message.text and "/preview" in where
        is_expected = is_late_preview or any(one in message.text for one in self._expected)
        if message.type == "error" and not is_expected:
            self._errors.append(f"{message.text} {where}".strip())


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    """Ask until the answer is true: `wait_for(lambda: ..., "what is awaited", seconds=60)`."""

    def wait(ask: Callable[[], Any], what: str, *, seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            answer = ask()
            if answer:
                return answer
            if time.monotonic() > deadline:
                pytest.fail(f"After {seconds:.0f} s still waiting for {what}; last: {answer!r}")
            time.sleep(0.2)

    return wait
