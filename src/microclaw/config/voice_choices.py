"""What the settings of voice may name: engines, models, wake words. It loads none of them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

RECOGNIZERS: Final = ("pocketsphinx", "whisper", "wyoming", "openai")
SYNTHESIZERS: Final = ("flite", "espeak", "piper", "wyoming", "openai")
DETECTORS: Final = ("auto", "silero", "webrtc")
WHISPER_MODELS: Final = ("tiny.en", "base.en", "small.en")
MAX_WAKE_WORDS: Final = 8
WAKE_PACKAGE: Final = "pymicro_wakeword"


def is_whisper_model(value: str) -> str | None:
    """A setting's check, as in checks.py."""
    if value in WHISPER_MODELS or Path(value).expanduser().is_absolute():
        return None
    return f"is none of {', '.join(WHISPER_MODELS)}, and no folder with its whole path"


def known_wake_words(folder: Path | None) -> dict[str, Path]:
    """The description of each word: the package's, or of `folder`, which goes first. Empty where neither is there."""
    spec = find_spec(WAKE_PACKAGE)
    places = [Path(place) / "models" for place in (() if spec is None else spec.submodule_search_locations or ())]
    if folder is not None:
        places.append(folder)
    return {file.stem: file for place in places for file in sorted(place.glob("*.json"))}
