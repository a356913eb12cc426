"""The engines that the settings name become chains, and what is unknown or missing is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from microclaw.config.settings import VoiceSettings
from microclaw.errors import ConfigError
from microclaw.voice.engine_choice import chosen_recognizer, chosen_synthesizer
from microclaw.voice.operations import EngineState, VoiceFacts

ALL = VoiceSettings(
    asr=("wyoming", "openai"),
    tts=("espeak", "flite", "wyoming", "openai"),
    wyoming_asr="[::1]:10300",
    wyoming_tts="127.0.0.1:10200",
)


async def test_each_fault_is_in_the_health_of_engines_of_which_none_works(tmp_path: Path) -> None:
    settings = replace(ALL, asr=("whisper", "openai"), whisper_model="small.en", tts=("openai",))
    ears = chosen_recognizer(settings, tuple, tmp_path)
    assert [engine.name for engine in ears.engines] == ["whisper", "openai"]
    fault = await ears.health() or ""
    assert "microclaw voice fetch small.en" in fault
    assert "voice.openai_key" in fault
    assert "voice.openai_key" in (await chosen_synthesizer(settings).health() or "")


def test_what_is_missing_is_refused() -> None:
    with pytest.raises(ConfigError):
        chosen_recognizer(replace(ALL, wyoming_asr=None), tuple, Path("/nowhere"))
    with pytest.raises(ConfigError):
        chosen_synthesizer(replace(ALL, wyoming_tts=None))


def test_an_engine_that_fails_is_a_warning_while_another_one_speaks() -> None:
    gone = "flite is not installed (next: make setup-system)"
    for other, ok in ((None, True), (gone, False)):
        rows = (("asr", "whisper", None), ("tts", "espeak", gone), ("tts", "flite", other))
        states = tuple(EngineState(*row) for row in rows)
        found = list(VoiceFacts(state="on", problem=None, engines=states).findings())
        assert [(one.ok, one.warns) for one in found[:2]] == [(True, False), (ok, ok)]
