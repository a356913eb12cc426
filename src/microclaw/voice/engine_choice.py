"""The engines that the settings name, in their order, as one recognizer and one synthesizer. Starts none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Final, TypeVar, cast

from microclaw.config.settings import VoiceSettings
from microclaw.errors import ConfigError
from microclaw.voice.engines.engine import Recognizer, Synthesizer
from microclaw.voice.fallback import RecognizerChain, SynthesizerChain

RECOGNIZERS: Final = ("pocketsphinx", "wyoming", "openai")
SYNTHESIZERS: Final = ("flite", "espeak", "piper", "wyoming", "openai")
E = TypeVar("E")


def chosen_recognizer(
    settings: VoiceSettings, *, pocketsphinx: Callable[[], Recognizer] | None = None, proxy: str | None = None
) -> RecognizerChain:
    """Raises ConfigError for an engine that is unknown, or that lacks a setting. `pocketsphinx` makes that one."""
    make: Mapping[str, Callable[[], Recognizer]] = {
        "pocketsphinx": pocketsphinx or _pocketsphinx,
        "wyoming": lambda: _wyoming_recognizer(settings),
        "openai": lambda: _openai_recognizer(settings, proxy),
    }
    return RecognizerChain([make[name]() for name in _known("asr", settings.asr, RECOGNIZERS)])


def chosen_synthesizer(settings: VoiceSettings, *, proxy: str | None = None) -> SynthesizerChain:
    """Raises ConfigError for an engine that is unknown, or that lacks a setting."""
    make: Mapping[str, Callable[[], Synthesizer]] = {
        "flite": lambda: _flite(settings),
        "espeak": lambda: _espeak(settings),
        "piper": lambda: _piper(settings),
        "wyoming": lambda: _wyoming_synthesizer(settings),
        "openai": lambda: _openai_synthesizer(settings, proxy),
    }
    return SynthesizerChain([make[name]() for name in _known("tts", settings.tts, SYNTHESIZERS)])


def _known(setting: str, names: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    listed = ", ".join(known)
    step = f"microclaw config set voice.{setting} {known[0]}"
    if not names:
        raise ConfigError(f"voice.{setting} names no engine; there are {listed}", next_step=step)
    for name in names:
        if name not in known:
            raise ConfigError(f"voice.{setting}: there is no engine {name[:40]!r}; there are {listed}", next_step=step)
        if names.count(name) > 1:
            raise ConfigError(f"voice.{setting} names {name} twice", next_step=step)
    return names


def _needed(value: E | None, engine: str, setting: str, example: str) -> E:
    if not value:
        raise ConfigError(
            f"the engine {engine} needs voice.{setting}", next_step=f"microclaw config set voice.{setting} {example}"
        )
    return value


def _place(value: str | None, setting: str) -> tuple[str, int]:
    host, _, port = _needed(value, "wyoming", setting, "HOST:PORT").rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _pocketsphinx() -> Recognizer:
    try:
        module = import_module("microclaw.voice.engines.pocketsphinx")
    except ImportError as exc:
        raise ConfigError("the engine pocketsphinx is not installed", next_step="make voice") from exc
    return cast(Recognizer, module.PocketSphinx())


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
