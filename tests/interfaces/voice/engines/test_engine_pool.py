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
from tests.interfaces.voice.engines.conftest import PATIENT_S, close, innermost

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine_pool import EnginePool, PoolLimits
from microclaw.interfaces.voice.engines.engine_sandbox import EngineNeeds
from microclaw.interfaces.voice.engines.whisper_worker import ANSWER, MEMORY_BYTES

COUNTS = """
import time
from microclaw.interfaces.voice.engines.whisper_worker import work

def hear(asked, pcm):
    if asked["name"] == "hang":
        time.sleep(300)
    return {"text": f"{asked['name']} {len(pcm)}"}

work(lambda setup: hear)
"""
SAYS_READY = "import sys; sys.stdout.buffer.write(b'\\x02\\0\\0\\0{}'); sys.stdout.buffer.flush(); "
Make = Callable[..., EnginePool]


def fake(script: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script)


@pytest_asyncio.fixture
async def make() -> AsyncIterator[Make]:
    """A pool with these limits; all that it made are closed, and leave no process."""
    made: list[EnginePool] = []

    def made_one(program: tuple[str, ...] = fake(COUNTS), **limits: Any) -> EnginePool:
        limits = {"most": 2, "answer_s": PATIENT_S, "wait_s": PATIENT_S, **limits}
        made.append(EnginePool(program, lambda: ({}, EngineNeeds(memory_bytes=MEMORY_BYTES)), PoolLimits(**limits)))
        return made[-1]

    yield made_one
    for one in made:
        await close(one)


async def hear(pool: EnginePool, size: int = 2, name: str = "kitchen") -> str:
    return str((await pool.ask({"name": name}, bytes(size)))["text"])


async def test_a_warm_process_is_taken_many_share_few_and_those_too_many_end(make: Make) -> None:
    pool = make(idle_s=0.0)
    warming = asyncio.create_task(pool.warm_up())
    await asyncio.sleep(0)
    assert await hear(pool, 640) == "kitchen 640"
    await warming
    assert len(pool.pids) == 1
    assert sorted(await asyncio.gather(*(hear(pool, n) for n in range(6)))) == [f"kitchen {n}" for n in range(6)]
    async with asyncio.timeout(PATIENT_S):
        while len(pool.pids) > 1:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.01)


async def test_a_killed_process_is_replaced_and_the_question_that_it_had_fails(make: Make) -> None:
    pool = make()
    await pool.warm_up()
    [idle] = pool.pids
    dead = pool._engines[idle].process
    os.kill(innermost(idle), signal.SIGKILL)
    await asyncio.wait_for(dead.wait(), PATIENT_S)
    assert await hear(pool) == "kitchen 2"
    [busy] = pool.pids
    asking = asyncio.create_task(hear(pool, name="hang"))
    while pool._idle:  # noqa: ASYNC110  nothing tells of it
        await asyncio.sleep(0)
    os.kill(innermost(busy), signal.SIGKILL)
    with pytest.raises(VoiceError):
        await asking
    assert await hear(pool) == "kitchen 2"
    assert not {idle, busy} & pool.pids


async def test_a_cancelled_question_leaves_its_process_to_the_next_and_more_than_processes_are_refused(
    make: Make,
) -> None:
    pool = make(most=1, wait_s=PATIENT_S)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await hear(pool)
    assert await hear(pool, 4) == "kitchen 4"
    assert len(pool.pids) == 1
    full = make(most=1, wait_s=0.01)
    await full.warm_up()
    asking = asyncio.create_task(hear(full, name="hang"))
    await asyncio.sleep(0)
    with pytest.raises(VoiceError) as refused:
        await hear(full)
    assert refused.value.next_step
    asking.cancel()


async def test_a_process_that_talks_nonsense_or_does_not_answer_gives_voice_error(make: Make) -> None:
    says = "sys.stdin.buffer.read(8); sys.stdout.buffer.write({!r}); sys.stdout.buffer.flush()"
    for answer in (ANSWER.pack(1 << 30), ANSWER.pack(3) + b"{]}", ANSWER.pack(2) + b"[]", b"\x00" * 40, b"F@"):
        with pytest.raises(VoiceError):
            await hear(make(fake(SAYS_READY + says.format(answer))))
    for program, size in (
        (fake(SAYS_READY + "sys.stdin.buffer.read()"), 2),  # hangs
        (fake(SAYS_READY + "import signal; signal.pause()"), 1 << 20),  # does not read
        (fake("raise SystemExit(1)"), 2),
        (("/nowhere/python",), 2),
    ):
        with pytest.raises(VoiceError):
            await hear(make(program, answer_s=0.2), size)


async def test_a_process_can_open_no_file_and_is_told_nothing_of_the_environment(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    pool = make()
    await pool.warm_up()
    [pid] = pool.pids
    process = Path(f"/proc/{innermost(pid)}")
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (process / "limits").read_text().splitlines()}
    assert limits["Max open files"] == ["0", "0"]
    assert limits["Max file size"] == ["0", "0"]
    assert b"SECRET_OF_THE_HOST" not in (process / "environ").read_bytes()
