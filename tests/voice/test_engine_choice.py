"""The engines that the settings name become chains, and what is unknown or missing is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from microclaw.config.settings import VoiceSettings
from microclaw.voice.engine_choice import chosen_recognizer, chosen_synthesizer

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
