"""Wake words by microWakeWord's models (pymicro-wakeword), which come with the package or from a folder of one's own.

A model is tried in a process of its own before the host loads it: one that is no model ends the process that reads it.
"""

from __future__ import annotations

import array
import asyncio
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from microclaw.config.voice_choices import MAX_WAKE_WORDS, WAKE_PACKAGE, known_wake_words
from microclaw.errors import ConfigError, VoiceError
from microclaw.text import clean_text
from microclaw.voice.engines.engine import RATE_HZ, Wake, WakeModel

MAX_DETECTORS: Final = 16
"""Streams that are listened to at once: a word costs each 1 % of a core and 0.4 MB."""
MAX_MODEL_BYTES: Final = 4 << 20
MAX_DESCRIPTION_BYTES: Final = 64 << 10
STEP_MS: Final = 10
"""A model is made for features of so many ms; the package computes no others."""
MAX_WINDOW: Final = 100
TRIAL_S: Final = 20.0
REST_S: Final = 30.0
"""After a trial that failed."""
LOOK_BACK_BYTES: Final = RATE_HZ * 3 // 10 * 2
LOOK_AHEAD_BYTES: Final = RATE_HZ * 2 // 10 * 2
"""A word is detected up to so long after its end, or before it (flite's voices: 0.3 s after it to 0.2 s before)."""
_STEP_BYTES: Final = RATE_HZ * STEP_MS // 1000 * 2
_GAP_STEPS: Final = 2
_MODULE: Final = "microclaw.voice.engines.micro_wake_word"


@dataclass(frozen=True, slots=True)
class _Model:
    word: WakeModel
    description: Path


class MicroWakeWords:
    """Detectors for these words. Raises ConfigError for a word that is unknown, and for a model that is none."""

    def __init__(
        self, names: Sequence[str], folder: Path | None = None, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        known = _known(folder)
        step = "microclaw config set voice.wake_words okay_nabu"
        if not known:
            raise ConfigError("the package pymicro-wakeword is missing", next_step="make voice")
        for name in names:
            if name not in known:
                listed = ", ".join(sorted(known))
                raise ConfigError(
                    f"voice.wake_words: there is no wake word {name[:40]!r}; there are {listed}", next_step=step
                )
        if len(set(names)) != len(names) or not 1 <= len(names) <= MAX_WAKE_WORDS:
            raise ConfigError(f"voice.wake_words: 1 to {MAX_WAKE_WORDS} words, each once", next_step=step)
        self._models = {name: _described(name, known[name]) for name in names}
        self._now_s = now_s
        self._trying = asyncio.Lock()
        self._library: Any = None  # the package, once its models were tried
        self._fault: tuple[float, VoiceError] | None = None
        self._open = 0

    @property
    def name(self) -> str:
        return f"pymicro-wakeword ({', '.join(self._models)})"

    @property
    def models(self) -> Sequence[WakeModel]:
        return [model.word for model in self._models.values()]

    async def health(self) -> str | None:
        try:
            await self._load()
        except VoiceError as exc:
            return f"{exc.message} (next: {exc.next_step})"
        return None

    async def begin(self, names: Sequence[str] = ()) -> MicroWakeDetector:
        await self._load()
        if self._open >= MAX_DETECTORS:
            raise VoiceError(f"{MAX_DETECTORS} streams are listened to for wake words already")
        self._open += 1
        wanted = {name: self._models[name].description for name in names or self._models}
        try:
            return await asyncio.to_thread(MicroWakeDetector, self._library, wanted, self._closed)
        except Exception as exc:  # whatever a native library's wrapper raises
            self._closed()
            raise VoiceError(f"the detector of wake words does not begin: {type(exc).__name__}: {exc}") from exc
        except BaseException:
            self._closed()
            raise

    def _closed(self) -> None:
        self._open -= 1

    async def _load(self) -> None:
        """The package, once, when its models were tried. Raises VoiceError."""
        async with self._trying:
            if self._library is not None:
                return
            if self._fault is not None and self._now_s() - self._fault[0] < REST_S:
                raise self._fault[1]
            try:
                await _try_out([model.description for model in self._models.values()])
                self._library = await asyncio.to_thread(importlib.import_module, WAKE_PACKAGE)
            except VoiceError as exc:
                self._fault = self._now_s(), exc
                raise


class MicroWakeDetector:
    """One stream. `on_close` is called once."""

    def __init__(self, library: Any, descriptions: Mapping[str, Path], on_close: Callable[[], None]) -> None:
        self._on_close: Callable[[], None] | None = on_close
        self._features = library.MicroWakeWordFeatures()
        self._words = {name: library.MicroWakeWord.from_config(path) for name, path in descriptions.items()}
        self._tail = b""
        self._found: tuple[str, int] | None = None  # and how much is to be heard before its end is looked for

    def hear(self, pcm: bytes) -> Wake | None:
        self._tail = (self._tail + pcm)[-LOOK_BACK_BYTES - LOOK_AHEAD_BYTES :]
        if self._found is None:
            name = self._detected(pcm)
            self._found = None if name is None else (name, LOOK_AHEAD_BYTES)
            return None
        self._detected(pcm)  # the end of the same word
        name, left = self._found[0], self._found[1] - len(pcm)
        self._found = None if left <= 0 else (name, left)
        return Wake(name, self._tail[quietest(self._tail) :]) if left <= 0 else None

    def _detected(self, pcm: bytes) -> str | None:
        found: str | None = None
        try:
            for features in self._features.process_streaming(pcm):  # to its end: it forgets what it heard only then
                for name, word in self._words.items():
                    if word.process_streaming(features) and found is None:
                        found = name
            if found is not None:
                for word in self._words.values():
                    word.reset()  # what was a wake word is none a moment later
        except Exception as exc:  # whatever a native library's wrapper raises
            raise VoiceError(f"the detector of wake words failed: {type(exc).__name__}: {exc}") from exc
        return found

    def close(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            for word in self._words.values():
                word.close()
            on_close()


def quietest(pcm: bytes) -> int:
    """Where in this audio it is quietest, in bytes: between the wake word and what follows it in the same breath."""
    steps = [array.array("h", pcm[at : at + _STEP_BYTES]) for at in range(0, len(pcm) - _STEP_BYTES + 1, _STEP_BYTES)]
    powers = [sum(sample * sample for sample in step) for step in steps]
    gaps = [sum(powers[at : at + _GAP_STEPS]) for at in range(len(powers) - _GAP_STEPS + 1)]
    if not gaps:
        return 0
    last = max(at for at, power in enumerate(gaps) if power == min(gaps))
    return (last + _GAP_STEPS // 2) * _STEP_BYTES


def _known(folder: Path | None) -> dict[str, Path]:
    """The description of each word that there is; one of the folder replaces the package's."""
    if folder is not None and not folder.is_dir():
        raise ConfigError(
            f"voice.wake_models: {folder} is no folder", next_step="microclaw config set voice.wake_models FOLDER"
        )
    return known_wake_words(folder)


def _described(name: str, description: Path) -> _Model:
    """What a model's description says, where the package would take it and hear nothing or something else."""
    model = description.with_suffix(".tflite")
    step = "a microWakeWord model of version 2: NAME.json and NAME.tflite in the folder voice.wake_models"
    try:
        if description.stat().st_size > MAX_DESCRIPTION_BYTES or model.stat().st_size > MAX_MODEL_BYTES:
            raise ConfigError(f"the wake word {name}: a file of its model is too large", next_step=step)
        found = json.loads(description.read_bytes())
    except (OSError, ValueError, RecursionError) as exc:
        raise ConfigError(f"the wake word {name} cannot be read: {exc}", next_step=step) from exc
    match found:
        case {
            "wake_word": str(phrase),
            "model": str(file),
            "micro": {"probability_cutoff": float(cutoff), "sliding_window_size": int(window), **micro},
        } if (
            file == model.name
            and 0 < cutoff < 1
            and 1 <= window <= MAX_WINDOW
            and micro.get("feature_step_size", STEP_MS) == STEP_MS
        ):
            languages = found.get("trained_languages")
            codes = [code for code in languages if isinstance(code, str)] if isinstance(languages, list) else []
            phrase = clean_text(phrase, one_line=True)[:100]
            return _Model(WakeModel(name, phrase, tuple(codes[:20])), description)
    raise ConfigError(
        f"the wake word {name}: {description.name} needs wake_word, model ({model.name}) and micro with "
        f"probability_cutoff (0 to 1), sliding_window_size (1 to {MAX_WINDOW}) and feature_step_size {STEP_MS}",
        next_step=step,
    )


async def _try_out(descriptions: Sequence[Path]) -> None:
    """Load the models and hear a second of silence, in another process. Raises VoiceError."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    trial = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _MODULE, *map(str, descriptions)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": "", "PYTHONPATH": path, "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(TRIAL_S):
            code = await trial.wait()
    except TimeoutError as exc:
        raise VoiceError(
            f"wake words: the models did not load within {TRIAL_S:g} s", next_step="microclaw doctor, later"
        ) from exc
    finally:
        if trial.returncode is None:
            trial.kill()
            await trial.wait()
    if code != 0:
        names = ", ".join(one.stem for one in descriptions)
        raise VoiceError(
            f"wake words: the models of {names} cannot be loaded by this machine's pymicro-wakeword (it ended with "
            f"{code})",
            next_step="microclaw config set voice.wake_words, without a model of your own; make voice",
        )


def _trial(descriptions: Sequence[str]) -> None:
    library = importlib.import_module(WAKE_PACKAGE)
    words = {path: Path(path) for path in descriptions}
    detector = MicroWakeDetector(library, words, lambda: None)
    for _ in range(1000 // STEP_MS):
        detector.hear(bytes(_STEP_BYTES))
    detector.close()


if __name__ == "__main__":
    _trial(sys.argv[1:])
