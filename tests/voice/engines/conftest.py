"""Audio that flite makes, and recognizers that end with their test."""

from __future__ import annotations

import array
import asyncio
import shutil
import subprocess
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from microclaw.voice.engines.engine import RATE_HZ
from microclaw.voice.engines.engine_pool import EnginePool
from microclaw.voice.engines.spoken_names import SpokenNames
from microclaw.voice.engines.whisper import WhisperRecognizer
from microclaw.voice.engines.whisper_models import model_folder

PATIENT_S = 60.0
NAMES = SpokenNames(("kitchen",), (), ("fan",))
Say = Callable[..., bytes]
Make = Callable[..., WhisperRecognizer]


def tiny() -> Path:
    """tiny.en of the wheel, in a home that has fetched nothing."""
    return model_folder("tiny.en", Path("/nowhere"))


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def close_all(made: Sequence[EnginePool | WhisperRecognizer]) -> None:
    """Close what a test made; none leaves a process."""
    for one in made:
        pids = one.pids
        await one.close()
        await asyncio.sleep(0)
        assert not [pid for pid in pids if is_alive(pid)]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """A sentence as PCM of 16 kHz, with silence around it."""
    assert shutil.which("flite"), "flite is missing; next: make setup-system"

    def said(text: str, voice: str = "slt") -> bytes:
        file = tmp_path / "said.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(file)], check=True, timeout=30)
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

    def made_one(**options: object) -> WhisperRecognizer:
        settings = {"names": lambda: NAMES, "find_model": tiny, "threads": 1, "answer_s": PATIENT_S, **options}
        made.append(WhisperRecognizer(**settings))  # type: ignore[arg-type]
        return made[-1]

    yield made_one
    await close_all(made)
