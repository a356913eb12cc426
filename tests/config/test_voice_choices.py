"""Settings of voice that name an engine, a model or a wake word: what there is not is refused with the nearest one."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.config.edit import SettingChange, write_changes
from microclaw.config.load import load_settings
from microclaw.config.voice_choices import known_wake_words
from microclaw.errors import ConfigError

WRONG = [
    ("voice.asr", "sphinx", "none of pocketsphinx, whisper, wyoming, openai: did you mean pocketsphinx"),
    ("voice.asr", "whisper sphinx", "'sphinx' is none of"),
    ("voice.asr", "whisper whisper", "names whisper twice"),
    ("voice.tts", "fite", "none of flite, espeak, piper, wyoming, openai: did you mean flite"),
    ("voice.vad", "silera", "none of auto, silero, webrtc: did you mean silero"),
    ("voice.whisper_model", "tiny", "none of tiny.en, base.en, small.en, and no folder"),
    ("voice.wake_words", "okay_nubu", "'okay_nubu' is none of .*: did you mean okay_nabu"),
    ("voice.wake_words", "okay_nabu okay_nabu", "each once"),
]


def home_of(folder: Path) -> Path:
    home = folder / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.mark.parametrize(("key", "value", "why"), WRONG)
def test_what_there_is_not_is_refused_when_it_is_set(tmp_path: Path, key: str, value: str, why: str) -> None:
    home = home_of(tmp_path)
    with pytest.raises(ConfigError, match=why):
        write_changes(home, {}, [SettingChange(key, value)])
    assert not (home / "config.toml").exists()


@pytest.mark.parametrize(("key", "value", "why"), WRONG)
def test_what_there_is_not_is_refused_when_the_host_starts(tmp_path: Path, key: str, value: str, why: str) -> None:
    home = home_of(tmp_path)
    section, _, name = key.partition(".")
    words = f'["{value.replace(" ", chr(34) + ", " + chr(34))}"]'
    is_list = name in ("asr", "tts", "wake_words")
    (home / "config.toml").write_text(f"[{section}]\n{name} = {words if is_list else repr(value)}\n")
    with pytest.raises(ConfigError, match=why):
        load_settings({}, home=home)


def test_what_there_is_is_taken(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    wanted = {
        "voice.asr": "whisper pocketsphinx",
        "voice.tts": "piper flite",
        "voice.vad": "webrtc",
        "voice.whisper_model": "/srv/whisper",
        "voice.wake_words": "okay_nabu hey_jarvis",
    }
    write_changes(home, {}, [SettingChange(*one) for one in wanted.items()])
    voice = load_settings({}, home=home).voice
    assert (voice.asr, voice.wake_words) == (("whisper", "pocketsphinx"), ("okay_nabu", "hey_jarvis"))


def test_a_wake_word_of_a_folder_of_ones_own_is_known(tmp_path: Path) -> None:
    home, models = home_of(tmp_path), tmp_path / "models"
    models.mkdir()
    (models / "computer.json").write_text("{}")
    assert known_wake_words(models)["computer"] == models / "computer.json"
    changes = [SettingChange("voice.wake_models", str(models)), SettingChange("voice.wake_words", "computer")]
    write_changes(home, {}, changes)
    with pytest.raises(ConfigError, match="did you mean computer"):
        write_changes(home, {}, [SettingChange("voice.wake_words", "computr")])
