"""The engines that the settings name become chains, and what is unknown or missing is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from microclaw.config.settings import VoiceSettings
from microclaw.errors import ConfigError
from microclaw.voice.engine_choice import chosen_recognizer, chosen_synthesizer
from microclaw.voice.fallback import RecognizerChain

ALL = VoiceSettings(
    asr=("wyoming", "openai"),
    tts=("piper", "espeak", "flite", "wyoming", "openai"),
    wyoming_asr="[::1]:10300",
    wyoming_tts="127.0.0.1:10200",
    piper_voice="/voice.onnx",
)


HOME = Path("/nowhere")


def ears_of(settings: VoiceSettings, home: Path = HOME) -> RecognizerChain:
    return chosen_recognizer(settings, tuple, home)


async def test_each_fault_is_in_the_health_of_engines_of_which_none_works() -> None:
    settings = replace(ALL, asr=("openai",), tts=("piper", "openai"), piper_command=("no-such-piper",))
    ears, mouth = await ears_of(settings).health(), await chosen_synthesizer(settings).health()
    assert ears is not None
    assert "voice.openai_key" in ears
    assert mouth is not None
    assert "voice.openai_key" in mouth


async def test_the_engines_of_this_machine_are_made_without_starting_any() -> None:
    chain = ears_of(replace(ALL, asr=("whisper", "wyoming")))
    assert [engine.name for engine in chain.engines] == ["whisper", "wyoming"]
    await chain.close()


async def test_whisper_without_a_model_names_the_command(tmp_path: Path) -> None:
    chain = ears_of(replace(ALL, asr=("whisper",), whisper_model="small.en"), tmp_path)
    assert "microclaw voice setup --fetch small.en" in (await chain.health() or "")
    await chain.close()


@pytest.mark.parametrize(
    ("choose", "settings"),
    [
        (ears_of, replace(ALL, wyoming_asr=None)),
        (chosen_synthesizer, replace(ALL, piper_command=())),
    ],
)
def test_what_is_unknown_or_missing_is_refused(
    choose: Callable[[VoiceSettings], object], settings: VoiceSettings
) -> None:
    with pytest.raises(ConfigError):
        choose(settings)
