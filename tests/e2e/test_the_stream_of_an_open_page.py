"""A page that is open hears everything and asks for nothing; one that is hidden lets go.

The stand-in trainer waits half-way, draws when it is told to, and nothing happens in between. The
page's clock is the test's, so that minutes in which nothing may be asked for take no time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.e2e.conftest import ROOT, Darkroom, PageWithoutErrors, darkroom_in
from tests.e2e.test_everybody_can_use_the_pages import config_of

STAND_IN = ROOT / "tests" / "stand_in_trainer.py"
# Less than the silence after which the page takes the stream for dead: the clock is turned on
# while no ping can come.
QUIET_MS = 40_000
SETTLING_MS = 1000

HIDE_OR_SHOW = """(state) => {
  Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.fixture
def waiting(tmp_path: Path, built_pages: None) -> Iterator[tuple[Darkroom, int]]:
    """A Darkroom, and a job in it that has stopped stepping and waits for commands."""
    trainer = f"{sys.executable} {STAND_IN}"
    config = config_of("watched", "wait")
    config["save"]["save_every"] = config["sample"]["sample_every"] = 1000
    with darkroom_in(tmp_path, trainer_command=trainer, worker_poll_seconds=0.1) as darkroom:
        yield darkroom, darkroom.post("/api/jobs", {"config": config, "queue": True})["id"]


class Asked:
    """What the page asks the server for, the stream apart."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.answers: list[str] = []
        self.streams: list[Request] = []
        self._in_flight: set[Request] = set()
        page.on("request", self._begun)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)

    def begin_anew(self) -> None:
        """Forget what was asked for, once all of it is answered and nothing follows from it."""
        known = -1
        while self._in_flight or known != len(self.answers):
            known = len(self.answers)
            self._page.wait_for_timeout(SETTLING_MS)
        self.answers.clear()

    def _begun(self, request: Request) -> None:
        if is_stream(request):
            self.streams.append(request)
        elif request.resource_type == "fetch":
            self.answers.append(request.url)
            self._in_flight.add(request)

    def _ended(self, request: Request) -> None:
        self._in_flight.discard(request)


def is_stream(request: Request) -> bool:
    return "/api/events" in request.url


@pytest.mark.slow
def test_an_open_page_does_not_poll_and_a_hidden_one_lets_go_and_catches_up(
    browser: Browser, waiting: tuple[Darkroom, int], wait_for: Callable[..., Any]
) -> None:
    darkroom, job_id = waiting
    job = f"/api/jobs/{job_id}"
    wait_for(lambda: darkroom.get(job)["step"] == 20, "the step it waits at")
    with PageWithoutErrors(browser, darkroom.address) as page:
        page.clock.install()
        asked = Asked(page)
        # A stream that opens has everything asked for once more; the last panel asks on its own.
        with (
            page.expect_response(lambda response: is_stream(response.request)),
            page.expect_response(re.compile("/commands$")),
        ):
            page.goto(f"/jobs/{job_id}")
        expect(page.get_by_text("20 / 40").first).to_be_visible()
        # The last that follows from new samples: what the page makes of them.
        with page.expect_response(re.compile("/fine-contrast")):
            darkroom.post(f"{job}/commands", {"command": "sample"})
        expect(
            page.get_by_role("button", name=re.compile(r"^Open prompt \d, step 20"))
        ).to_have_count(3)

        asked.begin_anew()
        streams = len(asked.streams)
        page.clock.run_for(QUIET_MS)
        assert asked.answers == [], "nothing is polled while the stream is open"
        assert len(asked.streams) == streams

        with page.expect_event("requestfailed", is_stream):
            page.evaluate(HIDE_OR_SHOW, "hidden")
        darkroom.post(f"{job}/commands", {"command": "save"})
        wait_for(lambda: darkroom.get(f"{job}/checkpoints")["items"], "the checkpoint")
        page.clock.run_for(QUIET_MS)
        said = "a hidden tab asks for nothing but what stands in its title"
        assert {address.removeprefix(darkroom.address) for address in asked.answers} == {job}, said
        assert len(asked.streams) == streams

        page.evaluate(HIDE_OR_SHOW, "visible")
        expect(page.get_by_role("link", name="Download the LoRA of step 20")).to_have_count(1)
        assert "last-event-id" in asked.streams[-1].headers
        later = [address for address in asked.answers if "checkpoints" in address]
        assert later == [], "what happened meanwhile came by the stream"
