from __future__ import annotations

import pytest

from backend.db.engine import Database
from backend.db.models import Job
from backend.errors import Unusable
from backend.jobs import feed
from backend.jobs.news import Topics, is_reachable, newest_id, parse_topics, read_news


def test_topics_are_read_and_nonsense_is_refused() -> None:
    assert parse_topics("queue, job:7,job:8,system") == Topics(True, True, frozenset({7, 8}))
    for bad in ("", ",", "job:", "job:x", "queue,everything", "job:1;system"):
        with pytest.raises(Unusable, match=r"topic"):
            parse_topics(bad)


def test_a_page_gets_what_it_listens_to_in_order(database: Database) -> None:
    with database.write() as session:
        for job_id in (1, 2):
            session.add(Job(id=job_id, training_name=f"j{job_id}", config={}))
        session.flush()
        feed.announce(session, "steps", 1, {"n": 1})
        feed.announce(session, "steps", 2, {"n": 2})
        session.flush()
        feed.announce_job(session, 2)
        session.flush()
        feed.announce(session, "job_deleted", 3, {"id": 3})
    with database.read() as session:
        of_one = read_news(session, Topics(job_ids=frozenset({1})), 0)
        of_queue = read_news(session, Topics(queue=True), 0)
        nothing = read_news(session, Topics(system=True), 0)
    assert [(news.id, news.name, news.json) for news in of_one.news] == [(1, "steps", '{"n": 1}')]
    assert [(news.id, news.name) for news in of_queue.news] == [(3, "job"), (4, "job_deleted")]
    assert (of_one.cursor, of_queue.cursor, nothing.cursor, nothing.news) == (4, 4, 4, [])


def test_what_became_of_a_notice_is_news_of_the_system(database: Database) -> None:
    with database.write() as session:
        feed.announce(session, "hooks", None, {})
    with database.read() as session:
        heard = read_news(session, Topics(system=True), 0)
        others = read_news(session, Topics(queue=True, job_ids=frozenset({1})), 0)
    assert [(news.name, news.json) for news in heard.news] == [("hooks", "{}")]
    assert others.news == []


def test_more_than_a_batch_comes_in_batches_without_a_gap(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.jobs.news.BATCH", 10)
    with database.write() as session:
        for number in range(25):
            feed.announce(session, "steps", 1, {"n": number})
            session.flush()
    numbers: list[int | None] = []
    cursor, more = 0, True
    while more:
        with database.read() as session:
            batch = read_news(session, Topics(job_ids=frozenset({1})), cursor)
        numbers += [news.id for news in batch.news]
        cursor, more = batch.cursor, batch.more
    assert numbers == list(range(1, 26))


def test_a_number_is_reachable_until_what_follows_it_is_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "KEPT_ROWS", 5)
    with database.read() as session:
        assert is_reachable(session, 0)
        assert not is_reachable(session, 1), "of another database"
    with database.write() as session:
        for number in range(20):
            feed.announce(session, "steps", 1, {"n": number})
            session.flush()
        feed.prune_feed(session)
    with database.read() as session:
        assert newest_id(session) == 20
        assert [n for n in range(22) if is_reachable(session, n)] == [15, 16, 17, 18, 19, 20]
