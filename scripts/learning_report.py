"""`make report`: what settings do to learning, measured on the bundled tiny model.

Trains every run of `learning_runs.py` with every seed, judges the pictures and writes the tables
into docs/learning.md, between its two markers, and a picture for each question into docs/images/.
What was seen in them is written by hand around the markers. A killed report goes on where it was;
a run whose job and model are unchanged is not trained again.

    --seeds N       as many of the seeds, the first ones
    --only-write    write from what is there, train nothing
    --work FOLDER   where results are kept; build/learning unless said
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from learning_measure import Measurer, Reading, Result, RunFailed
from learning_runs import CHECKPOINT_STEPS, QUESTIONS, SEEDS, Question, Run
from marked_page import write_part
from steps import ROOT

PAGE = ROOT / "docs" / "learning.md"
IMAGES = ROOT / "docs" / "images"
PART = "tables: make report"

LABEL_PX, HEAD_PX = 170, 22
HEADS = ("base", *map(str, CHECKPOINT_STEPS)) * 2

_log = logging.getLogger("report")


def main() -> None:
    options = parse_options()
    logging.basicConfig(level=logging.INFO, format="  %(message)s")
    for noisy in ("diffusers", "transformers", "httpx"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    measurer = Measurer(options.work)
    seeds = SEEDS[: options.seeds]
    if not options.only_write:
        try:
            train_all(measurer, seeds)
        except RunFailed as error:
            sys.exit(str(error))
    sections = [write_question(question, measurer, seeds) for question in QUESTIONS]
    write_part(PAGE, PART, "\n".join(filter(None, sections)))
    print(f"  {PAGE.relative_to(ROOT)}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what settings do to learning.")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), choices=range(1, len(SEEDS) + 1))
    parser.add_argument("--only-write", action="store_true")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "learning")
    return parser.parse_args()


def train_all(measurer: Measurer, seeds: Sequence[int]) -> None:
    """Every run with the first seed, then with the second: an early look is a whole report."""
    for seed in seeds:
        for question in QUESTIONS:
            for run in question.runs:
                start = time.monotonic()
                last = measurer.measure(run, seed).readings[-1]
                _log.info(
                    f"{question.slug}, {run.name}, seed {seed}: style {last.style:.2f}, "
                    f"leak {last.leak:.2f}, drift {last.drift:.1f} "
                    f"({time.monotonic() - start:.0f} s)"
                )


def write_question(question: Question, measurer: Measurer, seeds: Sequence[int]) -> str:
    """Write the question's picture and return its section; "" while a run of it is missing."""
    results: list[list[Result]] = []
    for run in question.runs:
        known = [measurer.result_of(run, seed) for seed in seeds]
        results.append([result for result in known if result is not None])
    if not all(results):
        return ""
    name = f"learning-{question.slug}.jpg"
    strips = [measurer.pictures_of(run, seeds[0]) for run in question.runs]
    draw_sheet(question.runs, strips).save(IMAGES / name, quality=88, optimize=True)
    return section(question, results, f"images/{name}")


def section(question: Question, results: Sequence[Sequence[Result]], picture: str) -> str:
    """The question as Markdown; `results` holds a list of seeds' results for each run."""
    steps = " / ".join(map(str, CHECKPOINT_STEPS))
    lines = [
        f"### {question.title}",
        "",
        f"| run | seeds | style at {steps} | leak at {steps} | drift at {steps} | loss |",
        "|---|---|---|---|---|---|",
    ]
    for run, seeds in zip(question.runs, results, strict=True):
        cells = [
            run.name,
            str(len(seeds)),
            over_steps(seeds, lambda reading: reading.style, "{:.2f}"),
            over_steps(seeds, lambda reading: reading.leak, "{:.2f}"),
            over_steps(seeds, lambda reading: reading.drift, "{:.0f}"),
            f"{statistics.fmean(result.loss for result in seeds):.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"![{question.title}]({picture})", ""]
    return "\n".join(lines)


def over_steps(results: Sequence[Result], value: Callable[[Reading], float], form: str) -> str:
    """The mean over seeds at each step, and at the last the range from lowest to highest."""
    columns = zip(*(map(value, result.readings) for result in results), strict=True)
    values = [list(column) for column in columns]
    means = " / ".join(form.format(statistics.fmean(column)) for column in values)
    if len(results) == 1:
        return means
    return f"{means} ({form.format(min(values[-1]))}–{form.format(max(values[-1]))})"


def draw_sheet(runs: Sequence[Run], strips: Sequence[Path]) -> Image.Image:
    """The runs' strips below each other, each with its name, under a row of steps."""
    pictures = [Image.open(strip).convert("RGB") for strip in strips]
    width, height = pictures[0].size
    sheet = Image.new("RGB", (LABEL_PX + width, HEAD_PX + height * len(pictures)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, head in enumerate(HEADS):
        pen.text((LABEL_PX + number * width // len(HEADS) + 4, 3), head, "black", font)
    for row, (run, picture) in enumerate(zip(runs, pictures, strict=True)):
        top = HEAD_PX + row * height
        sheet.paste(picture, (LABEL_PX, top))
        label = run.name.replace(", ", ",\n")
        pen.multiline_text((6, top + height // 2 - 10), label, "black", font)
    return sheet


if __name__ == "__main__":
    main()
