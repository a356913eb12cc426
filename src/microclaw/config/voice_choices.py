"""What the settings of voice may name: engines, models. It loads none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

RECOGNIZERS: Final = ("pocketsphinx", "whisper", "wyoming", "openai")
SYNTHESIZERS: Final = ("flite", "espeak", "piper", "wyoming", "openai")
DETECTORS: Final = ("auto", "silero", "webrtc")
WHISPER_MODELS: Final = ("tiny.en", "base.en", "small.en")


def is_whisper_model(value: str) -> str | None:
    """A setting's check, as in checks.py."""
    if value in WHISPER_MODELS or Path(value).expanduser().is_absolute():
        return None
    return f"is none of {', '.join(WHISPER_MODELS)}, and no folder with its whole path"
