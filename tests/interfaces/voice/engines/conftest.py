"""The common part of the engines' tests: audio that flite makes, all that an engine says, processes and their ends."""

from __future__ import annotations

import array
import shutil
import subprocess
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from microclaw.interfaces.voice.engines.engine import RATE_HZ, Speech, Synthesizer
from microclaw.interfaces.voice.engines.engine_pool import EnginePool, PoolLimits
from microclaw.interfaces.voice.engines.program import SpeechProgram
from microclaw.interfaces.voice.engines.whisper import WhisperRecognizer
from microclaw.interfaces.voice.engines.whisper_models import model_folder

PATIENT_S = 60.0
NAMES = ("kitchen", "fan")
Say = Callable[..., bytes]
Make = Callable[..., WhisperRecognizer]


class AnyProgram(SpeechProgram):
    """Runs a command, without being an engine."""

    name = "engine"
    install = ""

    async def say(self, text: str) -> tuple[bytes, int]:
        raise NotImplementedError

    async def check_voice(self) -> None: ...


def tiny() -> Path:
    """tiny.en of the wheel, in a home that has fetched nothing."""
    return model_folder("tiny.en", Path("/nowhere"))


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def close(pool: EnginePool) -> None:
    """Close it; it leaves no process."""
    pids = set(pool.pids)
    await pool.close()
    assert not [pid for pid in pids if is_alive(pid)]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """A sentence as PCM of 16 kHz, with silence around it."""
    assert shutil.which("flite"), "flite is missing; next: make setup-system"

    def said(text: str, voice: str = "slt") -> bytes:
        file = tmp_path / "said.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(file)], check=True, timeout=60)
        with wave.open(str(file)) as audio:
            assert audio.getframerate() == RATE_HZ
            pcm: bytes = audio.readframes(audio.getnframes())
        quiet = array.array("h", [0, 1, 0, -1] * (RATE_HZ // 16)).tobytes()
        return quiet + pcm + quiet

    return said


@pytest_asyncio.fixture
async def make() -> AsyncIterator[Make]:
    """WhisperRecognizer with these options; all that it made are closed, and leave no process."""
    made: list[WhisperRecognizer] = []

    def made_one(**options: Any) -> WhisperRecognizer:
        limits = PoolLimits(options.pop("most", 3), answer_s=PATIENT_S, wait_s=PATIENT_S)
        settings: dict[str, Any] = {"names": lambda: NAMES, "find_model": tiny, "threads": 1, **options}
        made.append(WhisperRecognizer(**settings, limits=limits))
        return made[-1]

    yield made_one
    for one in made:
        await close(one.pool)


async def spoken(engine: Synthesizer, text: str) -> list[Speech]:
    async with aclosing(engine.speak(text)) as pieces:
        return [piece async for piece in pieces]


def seconds(pieces: list[Speech]) -> float:
    return sum(len(piece.pcm) / 2 / piece.rate_hz for piece in pieces)


def loudness(pieces: list[Speech]) -> float:
    """The mean of the samples' sizes."""
    samples = array.array("h", b"".join(piece.pcm for piece in pieces))
    return sum(map(abs, samples)) / max(1, len(samples))


def innermost(pid: int) -> int:
    """A worker, which is alone in its sandbox."""
    return [pid, *descendants(pid)][-1]


def descendants(pid: int) -> dict[int, list[str]]:
    """The processes below this one, with their commands; a later one is deeper."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found: dict[int, list[str]] = {}
    level = {pid}
    while level := {child for child, parent in parents.items() if parent in level}:
        for child in level:
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            except OSError:
                continue
    return found
