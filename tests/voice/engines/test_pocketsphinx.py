"""Recognition by real pocketsphinx processes over what flite says, and what happens when a process fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.voice.engines.conftest import NAMES, Make, Say, is_alive
from tests.voice.engines.hearing import innermost

from microclaw.errors import VoiceError
from microclaw.voice.engines.command_grammar import SpokenNames
from microclaw.voice.engines.engine import FRAME_BYTES, Transcript
from microclaw.voice.engines.engine_pool import MAX_UTTERANCE_BYTES
from microclaw.voice.engines.engine_process import MAX_BEHIND_BYTES
from microclaw.voice.engines.engine_protocol import HEADER
from microclaw.voice.engines.pocketsphinx import SphinxRecognizer

SAYS_READY = "import sys; sys.stdout.buffer.write(b'R\\x02\\0\\0\\0{}'); sys.stdout.buffer.flush(); "


async def hear(recognizer: SphinxRecognizer, pcm: bytes, partials: list[str] | None = None) -> Transcript:
    recognition = await recognizer.begin((partials if partials is not None else []).append)
    for start in range(0, len(pcm), FRAME_BYTES):
        recognition.feed(pcm[start : start + FRAME_BYTES])
    return await recognition.finish()


async def gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while is_alive(pid):  # noqa: ASYNC110  the kernel tells nobody
            await asyncio.sleep(0.01)


def fake(script: str) -> tuple[str, ...]:
    """A process that does something else."""
    return (sys.executable, "-c", script)


async def test_commands_are_recognised_and_other_sentences_are_not(make: Make, say: Say) -> None:
    recognizer = make()
    partials: list[str] = []
    found = await hear(recognizer, say("blink pin two every half second"), partials)
    assert found == Transcript("blink pin two every half second", 0.9)
    assert any(text.startswith("blink pin") for text in partials)
    assert await hear(recognizer, say("my brother lives in another town")) == Transcript("", 0.0)
    assert (await hear(recognizer, say("turn on the fan"))).text == "turn on the fan"
    assert len(recognizer.pids) == 1


async def test_a_pause_changes_nothing_of_what_is_heard(make: Make, say: Say) -> None:
    recognizer = make()
    pcm = say("blink pin two every half second")
    middle = len(pcm) // FRAME_BYTES // 2 * FRAME_BYTES
    for pauses in [(middle,), (len(pcm),), (middle, len(pcm))]:
        recognition, at = await recognizer.begin(lambda _text: None), 0
        for until in (*pauses, len(pcm)):
            for start in range(at, until, FRAME_BYTES):
                recognition.feed(pcm[start : min(start + FRAME_BYTES, until)])
            at = until
            if until in pauses:
                recognition.pause()
        assert await recognition.finish() == Transcript("blink pin two every half second", 0.9)
    recognition = await recognizer.begin(lambda _text: None)
    recognition.feed(pcm)
    recognition.pause()
    recognition.abandon()
    await recognizer.settled()
    assert await hear(recognizer, bytes(FRAME_BYTES * 50)) == Transcript("", 0.0)
    assert len(recognizer.pids) == 1


async def test_who_speaks_while_a_process_is_made_ready_gets_that_one(make: Make) -> None:
    recognizer = make(cross_check=False)
    warming = asyncio.create_task(recognizer.warm_up())
    await asyncio.sleep(0)
    recognition = await recognizer.begin(lambda _text: None)
    await warming
    recognition.abandon()
    await recognizer.settled()
    assert len(recognizer.pids) == 1


async def test_what_cannot_be_made_ready_is_said_by_both(make: Make) -> None:
    recognizer = make(program=fake("raise SystemExit(1)"))
    warming = asyncio.create_task(recognizer.warm_up())
    await asyncio.sleep(0)
    with pytest.raises(VoiceError):
        await recognizer.begin(lambda _text: None)
    with pytest.raises(VoiceError):
        await warming


async def test_silence_and_noise_are_nothing(make: Make) -> None:
    recognizer = make()
    assert (await hear(recognizer, bytes(FRAME_BYTES * 50))).text == ""
    assert (await hear(recognizer, os.urandom(FRAME_BYTES * 50))).text == ""
    assert (await hear(recognizer, b"")).text == ""
    assert (await hear(recognizer, b"\x01\x02\x03")).text == ""


async def test_a_process_can_open_no_file_and_is_told_nothing_of_the_environment(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    recognizer = make(cross_check=False)
    await recognizer.warm_up()
    process = Path(f"/proc/{innermost(recognizer.pids[0])}")
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (process / "limits").read_text().splitlines()}
    assert limits["Max open files"] == ["0", "0"]
    assert limits["Max file size"] == ["0", "0"]
    assert b"SECRET_OF_THE_HOST" not in (process / "environ").read_bytes()


async def test_a_killed_process_gives_voice_error_and_is_replaced(make: Make, say: Say) -> None:
    recognizer = make(cross_check=False)
    recognition = await recognizer.begin(lambda _text: None)
    killed = recognizer.pids[0]
    os.kill(innermost(killed), signal.SIGKILL)
    await gone(killed)
    with pytest.raises(VoiceError):
        await recognition.finish()
    recognition.abandon()
    assert (await hear(recognizer, say("turn on pin two"))).text == "turn on pin two"
    assert killed not in recognizer.pids


async def test_an_abandoned_utterance_leaves_its_process_for_the_next_one(make: Make, say: Say) -> None:
    recognizer = make(cross_check=False, most=1)
    recognition = await recognizer.begin(lambda _text: None)
    recognition.feed(say("toggle pin nine"))
    recognition.abandon()
    recognition.abandon()
    with pytest.raises(VoiceError):
        recognition.feed(bytes(2))
    pid = recognizer.pids[0]
    await recognizer.settled()
    assert (await hear(recognizer, say("read pin four"))).text == "read pin four"
    assert recognizer.pids == [pid]


async def test_more_utterances_than_processes_are_refused(make: Make) -> None:
    recognizer = make(cross_check=False, most=1, wait_s=0.01)
    await recognizer.begin(lambda _text: None)
    with pytest.raises(VoiceError) as refused:
        await recognizer.begin(lambda _text: None)
    assert refused.value.next_step


async def test_an_utterance_waits_for_the_process_of_another_one(make: Make) -> None:
    recognizer = make(cross_check=False, most=1, wait_s=60.0)
    first = await recognizer.begin(lambda _text: None)
    others = [asyncio.create_task(recognizer.begin(lambda _text: None)) for _ in range(3)]
    await asyncio.sleep(0)
    others[0].cancel()
    first.abandon()
    second = await others[1]
    [pid] = recognizer.pids
    os.kill(innermost(pid), signal.SIGKILL)
    with pytest.raises(VoiceError):
        await second.finish()
    second.abandon()
    await others[2]  # with a new process
    assert pid not in recognizer.pids


async def test_a_wait_for_a_process_that_is_cancelled_keeps_what_was_started(make: Make) -> None:
    recognizer = make(cross_check=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await recognizer.begin(lambda _text: None)
    await recognizer.settled()
    assert len(recognizer.pids) == 1
    await recognizer.begin(lambda _text: None)
    assert len(recognizer.pids) == 1


async def test_a_recognizer_that_closes_while_a_process_starts_leaves_none(make: Make) -> None:
    recognizer = make(cross_check=False)
    waiting = asyncio.create_task(recognizer.begin(lambda _text: None))
    await asyncio.sleep(0)
    await recognizer.close()
    with pytest.raises((VoiceError, asyncio.CancelledError)):
        await waiting
    assert recognizer.pids == []


async def test_new_names_are_understood_and_the_old_process_ends(make: Make, say: Say) -> None:
    names = NAMES
    recognizer = make(names=lambda: names, cross_check=False)
    await recognizer.warm_up()
    old = recognizer.pids[0]
    names = SpokenNames(("garage",), (), ("pump",))
    await hear(recognizer, say("turn on pin two"))  # by the old one, while a new one starts
    await recognizer.settled()
    assert old not in recognizer.pids
    assert (await hear(recognizer, say("turn on the pump"))).text == "turn on the pump"


async def test_a_process_that_hangs_gives_voice_error_in_time(make: Make) -> None:
    recognizer = make(program=fake(SAYS_READY + "sys.stdin.buffer.read()"), answer_s=0.2)
    recognition = await recognizer.begin(lambda _text: None)
    with pytest.raises(VoiceError):
        await recognition.finish()


async def test_a_process_that_does_not_read_gives_voice_error(make: Make) -> None:
    recognizer = make(program=fake(SAYS_READY + "import signal; signal.pause()"))
    recognition = await recognizer.begin(lambda _text: None)
    with pytest.raises(VoiceError):  # noqa: PT012  one of them is too much
        for _ in range(MAX_BEHIND_BYTES // 32_000 + 4):
            recognition.feed(bytes(32_000))


async def test_an_utterance_that_does_not_end_is_refused(make: Make) -> None:
    recognizer = make(program=fake(SAYS_READY + "sys.stdin.buffer.read()"))
    recognition = await recognizer.begin(lambda _text: None)
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
    recognizer = make(program=fake(SAYS_READY + script))
    with pytest.raises(VoiceError):  # noqa: PT012  it may be found out at either
        recognition = await recognizer.begin(lambda _text: None)
        await recognition.finish()


async def test_a_process_that_does_not_start_gives_voice_error(make: Make) -> None:
    with pytest.raises(VoiceError):
        await make(program=("/nowhere/python",)).begin(lambda _text: None)


async def test_names_that_nobody_can_pronounce_are_told_by_health(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    recognizer = make(names=lambda: SpokenNames(("zigbee",), (), ()), cross_check=False)
    await recognizer.warm_up()
    assert "zigbee" in (await recognizer.health() or "")
