"""Looking at a page as people have it before them.

In light and dark, on a desktop and a phone, axe must find nothing serious. There, on the narrowest
phone and on a 4K screen, nothing may reach past the window. And to somebody who asked for no
motion, nothing may move; the pages are opened with that wish.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.e2e.conftest import ROOT

AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
NARROW_PHONE = {"width": 320, "height": 568}
FOUR_K = {"width": 3840, "height": 2160}
LOOKS = [
    ("light", DESKTOP),
    ("dark", DESKTOP),
    ("dark", FOUR_K),
    ("dark", NARROW_PHONE),
    ("dark", PHONE),
    ("light", PHONE),
]
# axe's rules do not depend on the width beyond what folds; these two would only take time.
ONLY_MEASURED = (FOUR_K, NARROW_PHONE)

# On a busy machine; nobody sees a page become right after its window has changed.
SETTLED_SECONDS = 3.0

# WCAG 2.2 AA asks that what is clicked is 24 px wide and high, or has that room; axe's defaults end
# at 2.1.
WANTED_RULES = {"target-size": {"enabled": True}}

# axe's own words for what keeps somebody from using a page.
SERIOUS = ("serious", "critical")


def look_at(page: Page, prepare: Callable[[], None] = lambda: None) -> None:
    """Look in every light and window; `prepare` opens what a new width has folded."""
    page.add_script_tag(path=str(AXE))
    faults: list[str] = []
    for scheme, size in LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size(size)
        expect(page.locator(f"html[data-mantine-color-scheme={scheme}]")).to_be_attached()
        prepare()
        found = settled(page, sideways_faults) + settled(page, moving_faults)
        if size not in ONLY_MEASURED:
            found += axe_faults(page)
        faults += [f"{scheme}, {size['width']} px: {fault}" for fault in found]
    assert not faults, "\n\n".join(faults)


def settled(page: Page, look: Callable[[Page], list[str]]) -> list[str]:
    """What is wrong and stays so: what measures itself, as a chart does, follows its window."""
    until = time.monotonic() + SETTLED_SECONDS
    while (found := look(page)) and time.monotonic() < until:
        page.wait_for_timeout(100)
    return found


def axe_faults(page: Page) -> list[str]:
    options = {"resultTypes": ["violations"], "rules": WANTED_RULES}
    violations = page.evaluate(
        "async (options) => (await axe.run(document, options)).violations", options
    )
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}\n"
        + "\n".join(
            f"  {' '.join(map(str, n['target']))}: {n['html'][:160]}" for n in rule["nodes"]
        )
        for rule in violations
        if rule["impact"] in SERIOUS
    ]


def sideways_faults(page: Page) -> list[str]:
    """What reaches past the window, though nothing around it scrolls or cuts it off: an element, or
    words in one that do not break.
    """
    return page.evaluate(
        """() => {
          const past = (element) => {
            const { left, right } = element.getBoundingClientRect();
            const showsAll = getComputedStyle(element).overflowX === 'visible';
            const hasWords = showsAll && element.childElementCount === 0;
            const reach = hasWords ? Math.max(right, left + element.scrollWidth) : right;
            return reach > innerWidth + 0.5;
          };
          const root = document.documentElement;
          const all = [...document.body.querySelectorAll('*')];
          const right = (element) => element.getBoundingClientRect().right;
          const furthest = all.reduce((a, b) => (right(b) > right(a) ? b : a)).outerHTML;
          const found = root.scrollWidth > innerWidth
            ? [`scrolls to ${root.scrollWidth} px; furthest is ${furthest.slice(0, 99)}`] : [];
          for (const element of all) {
            if (!past(element) || !element.checkVisibility()) continue;
            let around = element.parentElement;
            while (around !== document.body && getComputedStyle(around).overflowX === 'visible')
              around = around.parentElement;
            if (around === document.body) found.push('too wide: ' + element.outerHTML.slice(0, 99));
          }
          return found;
        }"""
    )


def moving_faults(page: Page) -> list[str]:
    """What moves for longer than anybody could see as motion."""
    return page.evaluate(
        """() => document.getAnimations()
          .filter((one) => one.playState === 'running')
          .filter((one) => one.effect.getComputedTiming().endTime > 1)
          .map((one) => 'moves: ' + one.effect.target?.outerHTML.slice(0, 99))"""
    )
