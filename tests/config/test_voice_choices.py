"""Settings of voice that name an engine or a model: what there is not is refused with the nearest one."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.config.edit import write_changes
from microclaw.config.load import load_settings
from microclaw.errors import ConfigError

WRONG = [
    ("voice.asr", "sphinx"),
    ("voice.asr", "whisper sphinx"),
    ("voice.asr", "whisper whisper"),
    ("voice.tts", "fite"),
    ("voice.vad", "silera"),
    ("voice.whisper_model", "tiny"),
]


def home_of(folder: Path) -> Path:
    home = folder / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_what_there_is_not_is_refused_when_it_is_set(tmp_path: Path, key: str, value: str) -> None:
    home = home_of(tmp_path)
    with pytest.raises(ConfigError):
        write_changes(home, {}, {key: value})
    assert not (home / "config.toml").exists()


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_what_there_is_not_is_refused_when_the_host_starts(tmp_path: Path, key: str, value: str) -> None:
    home = home_of(tmp_path)
    section, _, name = key.partition(".")
    words = f'["{value.replace(" ", chr(34) + ", " + chr(34))}"]'
    is_list = name in ("asr", "tts")
    (home / "config.toml").write_text(f"[{section}]\n{name} = {words if is_list else repr(value)}\n")
    with pytest.raises(ConfigError):
        load_settings({}, home=home)


def test_what_there_is_is_taken(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    wanted: dict[str, str | None] = {
        "voice.asr": "whisper pocketsphinx",
        "voice.tts": "piper flite",
        "voice.vad": "webrtc",
        "voice.whisper_model": "/srv/whisper",
    }
    write_changes(home, {}, wanted)
    voice = load_settings({}, home=home).voice
    assert (voice.asr, voice.vad) == (("whisper", "pocketsphinx"), "webrtc")
