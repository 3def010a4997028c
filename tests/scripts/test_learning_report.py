"""The learning report: runs differ in what is asked, and tables say what the results say."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import learning_report

    return learning_report


def result_of(report: ModuleType, *, style: float, loss: float = 0.5) -> object:
    measure = __import__("learning_measure")
    steps = report.CHECKPOINT_STEPS
    readings = tuple(measure.Reading(step, style, 0.0, 12.4) for step in steps)
    return measure.Result(readings, loss)


def test_the_runs_of_a_question_differ_in_the_job_and_all_runs_share_the_rest(
    report: ModuleType,
) -> None:
    for question in report.QUESTIONS:
        jobs = [run.job(0).model_dump() for run in question.runs]
        assert len({json.dumps(job, sort_keys=True) for job in jobs}) == len(jobs), question.slug
        for job in jobs:
            assert job["training"]["steps"] == report.CHECKPOINT_STEPS[-1]
            assert job["datasets"] == jobs[0]["datasets"]


def test_the_same_training_in_two_tables_is_trained_once(report: ModuleType) -> None:
    runs = {question.slug: question.runs for question in report.QUESTIONS}
    assert runs["learning-rate"][3].key(0) == runs["rank"][1].key(0)
    assert runs["rank"][1].key(0) != runs["rank"][1].key(1)


def test_a_table_gives_means_over_seeds_and_the_range_at_the_last_step(
    report: ModuleType,
) -> None:
    question = report.QUESTIONS[2]
    first = result_of(report, style=0.5, loss=0.2)
    second = result_of(report, style=0.75, loss=0.4)
    text = report.section(question, [[first, second], [first], [first]], "images/x.png")
    row = next(line for line in text.splitlines() if line.startswith("| off |"))
    assert row == (
        "| off | 2 | 0.62 / 0.62 / 0.62 (0.50–0.75) | 0.00 / 0.00 / 0.00 (0.00–0.00) "
        "| 12 / 12 / 12 (12–12) | 0.300 |"
    )
    assert "![Differential Output Preservation](images/x.png)" in text


def test_a_result_that_is_there_is_not_trained_again(report: ModuleType, tmp_path: Path) -> None:
    measure = __import__("learning_measure")
    run = report.QUESTIONS[0].runs[0]
    measurer = measure.Measurer(tmp_path)
    assert measurer.result_of(run, 0) is None
    known = result_of(report, style=0.3)
    folder = tmp_path / run.key(0)
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(asdict(known)))
    assert measurer.measure(run, 0) == known


def test_the_sheet_has_a_row_for_each_run(report: ModuleType, tmp_path: Path) -> None:
    runs = report.QUESTIONS[0].runs
    strips = []
    for number in range(len(runs)):
        strips.append(tmp_path / f"{number}.png")
        Image.new("RGB", (1040, 130), (number * 60, 0, 0)).save(strips[-1])
    sheet = report.draw_sheet(runs, strips)
    assert sheet.size == (report.LABEL_PX + 1040, report.HEAD_PX + 130 * len(runs))
    for number in range(len(runs)):
        middle = (report.LABEL_PX + 500, report.HEAD_PX + 130 * number + 65)
        assert sheet.getpixel(middle) == (number * 60, 0, 0)


def test_the_page_in_the_repository_has_both_markers(report: ModuleType) -> None:
    marked_page = __import__("marked_page")
    page = report.PAGE.read_text()
    assert marked_page.replace_part(page, report.PART, "x") != page
