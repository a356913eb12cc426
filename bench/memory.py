"""Memory: a search over 100,000 notes by what a person says, and how long the files take to be indexed."""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.report import Metric, median, percentile
from microclaw.agent.knowledge.search import Search
from microclaw.agent.knowledge.texts import TextFiles
from microclaw.host.store.database import Database
from microclaw.host.store.notes import NoteTable
from microclaw.host.store.sessions import SessionMessage, Sessions

NOTES = 100_000
QUERIES = 300
GOAL_MS = 20.0
_DAY_NOTES = 50  # lines of a daily note; half of all rows are notes, half conversation
_WORDS_A_NOTE = 12
_VOCABULARY = 20_000
_FIRST_S = 1_600_000_000


def measure() -> list[Metric]:
    with tempfile.TemporaryDirectory(prefix="mc-bench-") as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(home: Path) -> list[Metric]:
    random.seed(1)
    words = [_word(n) for n in range(_VOCABULARY)]
    weights = list(itertools.accumulate(1 / (n + 3) for n in range(_VOCABULARY)))  # as often as words are (Zipf)

    def said(count: int) -> str:
        return " ".join(random.choices(words, cum_weights=weights, k=count))

    _write_files(home, said)
    async with Database.open(home / "store.db") as database:
        sessions = Sessions(database, lambda: int(time.time() * 1000))
        for chat in range(50):
            said_there = [_message(said(_WORDS_A_NOTE), _FIRST_S + n * 600) for n in range(NOTES // 100)]
            await sessions.append("tg", str(chat), said_there)
        search = Search(NoteTable(database), texts=TextFiles(home, now=lambda: datetime.now(UTC)), sessions=sessions)
        began = time.perf_counter()
        await search.refresh()
        index_s = time.perf_counter() - began
        rows = await database.read(lambda sql: sql.execute("SELECT count(*) FROM notes").fetchone()[0])
        cpu_began = time.process_time()
        free = [await _timed(search, said(random.randint(2, 12))) for _ in range(QUERIES)]
        cpu_ms = (time.process_time() - cpu_began) / QUERIES * 1000
        common = [await _timed(search, " ".join(words[:8])) for _ in range(QUERIES // 5)]
        await sessions.append("tg", "1", [_message(said(_WORDS_A_NOTE), _FIRST_S + 9_999_999)])
        search.mark_stale()
        began = time.perf_counter()
        await search.refresh()
        append_s = time.perf_counter() - began
    return [
        Metric("search, p95", percentile(free, 95), "ms", GOAL_MS),
        Metric("search, median", median(free), "ms"),
        Metric("search, CPU", cpu_ms, "ms"),
        Metric("search for the commonest words, p95", percentile(common, 95), "ms", GOAL_MS),
        Metric("a new message in the index", append_s * 1000, "ms"),
        Metric("all files into the index", index_s, "s"),
        Metric("rows", rows, "rows", NOTES, at_least=True),
    ]


async def _timed(search: Search, query: str) -> float:
    began = time.perf_counter()
    await search.find("owner", query)
    return (time.perf_counter() - began) * 1000


def _write_files(home: Path, said: Callable[[int], str]) -> None:
    (home / "memory").mkdir()
    half = NOTES // 2
    for day in range(half // _DAY_NOTES):
        name = time.strftime("%Y-%m-%d", time.gmtime(_FIRST_S + day * 86_400))
        lines = "".join(f"- {said(_WORDS_A_NOTE)}\n" for _ in range(_DAY_NOTES))
        (home / "memory" / f"{name}.md").write_text(f"# {name}\n\n{lines}")


def _message(text: str, ts: int) -> SessionMessage:
    return SessionMessage("user", text, ts)


def _word(number: int) -> str:
    syllables = ("ka", "lo", "mi", "ru", "te", "sa", "no", "vi", "pe", "du")
    return "".join(syllables[int(digit)] for digit in f"{number:05d}")
