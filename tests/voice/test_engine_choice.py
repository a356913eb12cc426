"""The engines that the settings name become chains, and what is unknown or missing is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.voice.scripted_engines import ScriptedRecognizer

from microclaw.config.settings import VoiceSettings
from microclaw.errors import ConfigError
from microclaw.voice.engine_choice import chosen_recognizer, chosen_synthesizer

ALL = VoiceSettings(
    asr=("wyoming", "openai"),
    tts=("piper", "espeak", "flite", "wyoming", "openai"),
    wyoming_asr="[::1]:10300",
    wyoming_tts="127.0.0.1:10200",
    piper_voice="/voice.onnx",
)


async def test_engines_stand_in_the_order_of_the_settings() -> None:
    ears, mouth = chosen_recognizer(ALL), chosen_synthesizer(ALL)
    assert (ears.name, mouth.name) == ("wyoming", "piper")
    health = await mouth.health()
    await ears.close()
    await mouth.close()
    assert health is None or "piper" in health


async def test_each_fault_is_in_the_health_of_engines_of_which_none_works() -> None:
    settings = replace(ALL, asr=("openai",), tts=("piper", "openai"), piper_command=("no-such-piper",))
    ears, mouth = await chosen_recognizer(settings).health(), await chosen_synthesizer(settings).health()
    assert ears is not None
    assert "voice.openai_key" in ears
    assert mouth is not None
    assert "piper is not installed" in mouth
    assert "voice.openai_key" in mouth


async def test_pocketsphinx_is_made_by_who_knows_its_words() -> None:
    chain = chosen_recognizer(VoiceSettings(), pocketsphinx=ScriptedRecognizer)
    assert chain.name == "scripted ears"


@pytest.mark.parametrize(
    ("choose", "settings", "words"),
    [
        (chosen_recognizer, replace(ALL, asr=("siri",)), "'siri'; there are pocketsphinx, wyoming, openai"),
        (chosen_synthesizer, replace(ALL, tts=("pocketsphinx",)), "there are flite, espeak"),
        (chosen_synthesizer, replace(ALL, tts=()), "names no engine"),
        (chosen_synthesizer, replace(ALL, tts=("flite", "flite")), "names flite twice"),
        (chosen_recognizer, replace(ALL, wyoming_asr=None), "needs voice.wyoming_asr"),
        (chosen_synthesizer, replace(ALL, wyoming_tts=None), "needs voice.wyoming_tts"),
        (chosen_synthesizer, replace(ALL, piper_voice=None), "needs voice.piper_voice"),
        (chosen_synthesizer, replace(ALL, piper_command=()), "needs voice.piper_command"),
    ],
)
def test_what_is_unknown_or_missing_is_named(
    choose: Callable[[VoiceSettings], object], settings: VoiceSettings, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        choose(settings)
    assert words in caught.value.message
    assert caught.value.next_step is not None
    assert "microclaw config set voice." in caught.value.next_step
