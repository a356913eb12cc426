"""The processes of a recognizer: real ones, which count what they hear, and what happens when one fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.voice.engines.conftest import close_all, is_alive
from tests.voice.engines.hearing import innermost

from microclaw.errors import VoiceError
from microclaw.voice.engines.engine import FRAME_BYTES, Recognition, Transcript
from microclaw.voice.engines.engine_pool import MAX_UTTERANCE_BYTES, EnginePool, PoolLimits
from microclaw.voice.engines.engine_process import MAX_BEHIND_BYTES, Preparation
from microclaw.voice.engines.engine_protocol import HEADER

COUNTS = """
from microclaw.voice.engines.engine_worker import work

class Ears:
    def __init__(self, setup):
        self.heard = 0
    def begin(self, asked):
        self.name, self.heard = asked["name"], 0
    def hear(self, pcm):
        self.heard += len(pcm)
    def pause(self):
        return str(self.heard)
    def finish(self):
        return {"text": f"{self.name} {self.heard}"}
    def forget(self):
        self.heard = 0

work(Ears)
"""
SAYS_READY = "import sys; sys.stdout.buffer.write(b'R\\x02\\0\\0\\0{}'); sys.stdout.buffer.flush(); "
Make = Callable[..., EnginePool]


def fake(script: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script)


def prepared() -> Preparation:
    return Preparation({})


async def begun(pool: EnginePool) -> Recognition:
    return await pool.begin({"name": "kitchen"}, lambda _text: None, decided)


def decided(body: dict[str, Any]) -> Transcript:
    return Transcript(body["text"], 1.0)


@pytest_asyncio.fixture
async def make() -> AsyncIterator[Make]:
    """A pool with these limits; all that it made are closed, and leave no process."""
    made: list[EnginePool] = []

    def made_one(program: tuple[str, ...] = fake(COUNTS), **limits: Any) -> EnginePool:
        made.append(EnginePool("ears", program, prepared, PoolLimits(**{"most": 2, "answer_s": 60.0, **limits})))
        return made[-1]

    yield made_one
    await close_all(made)


async def hear(pool: EnginePool, frames: int) -> str:
    recognition = await begun(pool)
    for _ in range(frames):
        recognition.feed(bytes(FRAME_BYTES))
    return (await recognition.finish()).text


async def gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while is_alive(pid):  # noqa: ASYNC110  the kernel tells nobody
            await asyncio.sleep(0.01)


async def test_who_speaks_while_a_process_is_made_ready_gets_that_one(make: Make) -> None:
    pool = make()
    warming = asyncio.create_task(pool.warm_up())
    await asyncio.sleep(0)
    recognition = await begun(pool)
    await warming
    recognition.abandon()
    await pool.settled()
    assert len(pool.pids) == 1


async def test_what_cannot_be_made_ready_is_said_by_both(make: Make) -> None:
    pool = make(fake("raise SystemExit(1)"))
    warming = asyncio.create_task(pool.warm_up())
    await asyncio.sleep(0)
    with pytest.raises(VoiceError):
        await begun(pool)
    with pytest.raises(VoiceError):
        await warming


async def test_a_process_can_open_no_file_and_is_told_nothing_of_the_environment(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    pool = make()
    await pool.warm_up()
    process = Path(f"/proc/{innermost(pool.pids[0])}")
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (process / "limits").read_text().splitlines()}
    assert limits["Max open files"] == ["0", "0"]
    assert limits["Max file size"] == ["0", "0"]
    assert b"SECRET_OF_THE_HOST" not in (process / "environ").read_bytes()


async def test_a_killed_process_gives_voice_error_and_is_replaced(make: Make) -> None:
    pool = make()
    recognition = await begun(pool)
    killed = pool.pids[0]
    os.kill(innermost(killed), signal.SIGKILL)
    await gone(killed)
    with pytest.raises(VoiceError):
        await recognition.finish()
    recognition.abandon()
    assert await hear(pool, 3) == f"kitchen {3 * FRAME_BYTES}"
    assert killed not in pool.pids


async def test_an_abandoned_utterance_leaves_its_process_for_the_next_one(make: Make) -> None:
    pool = make(most=1)
    recognition = await begun(pool)
    recognition.feed(bytes(FRAME_BYTES))
    recognition.abandon()
    recognition.abandon()
    with pytest.raises(VoiceError):
        recognition.feed(bytes(2))
    pid = pool.pids[0]
    await pool.settled()
    assert await hear(pool, 2) == f"kitchen {2 * FRAME_BYTES}"
    assert pool.pids == [pid]


async def test_more_utterances_than_processes_are_refused(make: Make) -> None:
    pool = make(most=1, wait_s=0.01)
    await begun(pool)
    with pytest.raises(VoiceError) as refused:
        await begun(pool)
    assert refused.value.next_step


async def test_an_utterance_waits_for_the_process_of_another_one(make: Make) -> None:
    pool = make(most=1, wait_s=60.0)
    first = await begun(pool)
    others = [asyncio.create_task(begun(pool)) for _ in range(3)]
    await asyncio.sleep(0)
    others[0].cancel()
    first.abandon()
    second = await others[1]
    [pid] = pool.pids
    os.kill(innermost(pid), signal.SIGKILL)
    with pytest.raises(VoiceError):
        await second.finish()
    second.abandon()
    await others[2]  # with a new process
    assert pid not in pool.pids


async def test_a_wait_for_a_process_that_is_cancelled_keeps_what_was_started(make: Make) -> None:
    pool = make()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await begun(pool)
    await pool.settled()
    assert len(pool.pids) == 1
    await begun(pool)
    assert len(pool.pids) == 1


async def test_a_recognizer_that_closes_while_a_process_starts_leaves_none(make: Make) -> None:
    pool = make()
    waiting = asyncio.create_task(begun(pool))
    await asyncio.sleep(0)
    await pool.close()
    with pytest.raises((VoiceError, asyncio.CancelledError)):
        await waiting
    assert pool.pids == []


@pytest.mark.parametrize(
    ("after_ready", "pieces"),
    [("sys.stdin.buffer.read()", 0), ("import signal; signal.pause()", MAX_BEHIND_BYTES // 32_000 + 4)],
)
async def test_a_process_that_hangs_or_does_not_read_gives_voice_error(
    make: Make, after_ready: str, pieces: int
) -> None:
    recognition = await begun(make(fake(SAYS_READY + after_ready), answer_s=0.2))
    with pytest.raises(VoiceError):  # noqa: PT012  one of them is too much
        for _ in range(pieces):
            recognition.feed(bytes(32_000))
        await recognition.finish()


async def test_an_utterance_that_does_not_end_is_refused(make: Make) -> None:
    recognition = await begun(make(fake(SAYS_READY + "sys.stdin.buffer.read()")))
    with pytest.raises(VoiceError):
        recognition.feed(bytes(MAX_UTTERANCE_BYTES + 1))


@pytest.mark.parametrize(
    "nonsense",
    [
        HEADER.pack(b"Q", 0),
        HEADER.pack(b"F", 1 << 30),
        HEADER.pack(b"F", 3) + b"{]}",
        HEADER.pack(b"R", 2) + b"{}",
        b"\x00" * 40,
        b"F\x40",
    ],
)
async def test_a_process_that_talks_nonsense_gives_voice_error(make: Make, nonsense: bytes) -> None:
    script = f"sys.stdin.buffer.read(5); sys.stdout.buffer.write({nonsense!r}); sys.stdout.buffer.flush()"
    pool = make(fake(SAYS_READY + script))
    with pytest.raises(VoiceError):  # noqa: PT012  it may be found out at either
        recognition = await begun(pool)
        await recognition.finish()


async def test_a_process_that_does_not_start_gives_voice_error(make: Make) -> None:
    with pytest.raises(VoiceError):
        await begun(make(("/nowhere/python",)))
