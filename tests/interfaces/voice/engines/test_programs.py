"""Engines that are programs, one process a sentence: the real flite and espeak-ng, and Python as a stand-in."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.interfaces.voice.engines.conftest import AnyProgram, descendants, loudness, seconds, spoken

from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines import program as program_module
from microclaw.interfaces.voice.engines.engine import Synthesizer
from microclaw.interfaces.voice.engines.espeak import Espeak
from microclaw.interfaces.voice.engines.flite import Flite
from microclaw.interfaces.voice.engines.program import AT_ONCE
from microclaw.interfaces.voice.engines.wav import read_wav, wav_of
from microclaw.readiness import is_readable

SENTENCE = "The lamp on pin two is on now, and it blinks every half second."
MakeEngine: TypeAlias = Callable[[], Synthesizer]
ENGINES = [
    pytest.param(engine, id=program, marks=pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program}"))
    for engine, program in ((Flite, "flite"), (Espeak, "espeak-ng"))
]


async def ran(body: str) -> bytes:
    """The output of a program of this Python code, which has `text` and `out`."""
    code = f"import os, sys, time\ntext = sys.stdin.read()\nout = sys.stdout.buffer\n{body}\n"
    return await AnyProgram(sys.executable).run(("-c", code), "hello", limit_bytes=1_000_000)


@pytest.mark.parametrize("make", ENGINES)
async def test_text_is_no_option_of_the_program_and_without_words_silence(
    make: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "PLACE_S", 60.0)  # four of eight wait for a place
    engine = make()
    for text in ("-v hello", "--help", "-o /dev/null", "/etc/hostname", "a; b `c` $(d)", "-lv"):
        as_words = await spoken(engine, f"say {text}")
        pieces = await spoken(engine, text)
        assert 0.3 < seconds(pieces) < seconds(as_words) + 0.5  # the pause between words differs
        assert loudness(pieces) > 100
    for text in ("", "  ", "...", "\x00\x1b[31m", "— – !"):
        assert await spoken(engine, text) == []
    with pytest.raises(VoiceError):  # longer than half a minute
        await spoken(engine, "twenty seven thousand " * 90)
    async with asyncio.TaskGroup() as tasks:
        said = [tasks.create_task(spoken(engine, f"This is sentence number {n}.")) for n in range(8)]
    assert all(seconds(task.result()) > 0.8 for task in said)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.skipif(shutil.which("flite") is None, reason="no flite")
async def test_what_flite_says_is_never_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))  # a folder made there would raise
    assert seconds(await spoken(Flite(), SENTENCE)) > 2.5


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
async def test_who_no_longer_listens_kills_the_program_and_its_children() -> None:
    before = set(descendants(os.getpid()))
    body = "import subprocess\nsubprocess.Popen(['sleep', '300'])\ntime.sleep(300)"
    speaking = asyncio.create_task(ran(body))
    async with asyncio.timeout(60):
        while True:  # a process that is just replaced by its program has no words for a moment
            await asyncio.sleep(0.01)
            started = {pid: words for pid, words in descendants(os.getpid()).items() if pid not in before}
            if {"sleep", sys.executable} <= {words[0] for words in started.values()}:
                break
    ends = [os.pidfd_open(pid) for pid in started]
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    for end in ends:
        assert is_readable(end, 20)
        os.close(end)


async def test_a_program_that_fails_or_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for body in (
        "sys.exit('it broke \\x1b[31mhere')",
        "os.kill(os.getpid(), 9)",
        "out.write(bytes(2_000_000))",
        "out.write(bytes(2000)); sys.stderr.write('x' * 1_000_000); sys.exit(3)",
    ):
        with pytest.raises(VoiceError) as refused:
            await ran(body)
        assert "\x1b" not in str(refused.value)
    monkeypatch.setattr(program_module, "RUN_S", 0.3)
    with pytest.raises(VoiceError):
        await ran("time.sleep(300)")


async def test_the_program_gets_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert await ran("out.write(text.encode() * ('OPENAI_API_KEY' not in os.environ))") == b"hello\n"


def test_a_wav_is_read_to_its_end_whatever_its_head_promises_and_what_is_none_refused() -> None:
    wav = wav_of(b"\x01\x02\x03\x04", 16_000)
    assert read_wav(wav) == (b"\x01\x02\x03\x04", 16_000)
    assert read_wav(wav.replace(b"data\x04\0\0\0", b"data\0\0\xff\x7f")) == (b"\x01\x02\x03\x04", 16_000)
    stereo = wav_of(b"", 16_000).replace(b"\x01\x00\x01\x00", b"\x01\x00\x02\x00")
    endless = b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x7f"
    headless = b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd"
    for data in (b"", b"OggS" + bytes(20), wav_of(b"", 96_000), stereo, endless, endless + bytes(64), headless):
        with pytest.raises(VoiceError):
            read_wav(data)


async def test_one_more_than_may_speak_waits_and_is_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_module, "PLACE_S", 0.2)
    engine = AnyProgram("sleep")
    speaking = [asyncio.create_task(engine.run(("300",), limit_bytes=100)) for _ in range(AT_ONCE)]
    await asyncio.sleep(0.1)
    with pytest.raises(VoiceError):
        await engine.run(("300",), limit_bytes=100)
    for task in speaking:
        task.cancel()
