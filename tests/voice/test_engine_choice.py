"""The engines that the settings name become chains, and what is unknown or missing is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from microclaw.config.settings import VoiceSettings
from microclaw.errors import ConfigError
from microclaw.voice.engine_choice import chosen_recognizer, chosen_synthesizer, chosen_wake_words
from microclaw.voice.engines.command_grammar import SpokenNames
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
    return chosen_recognizer(settings, SpokenNames, home)


async def test_engines_stand_in_the_order_of_the_settings() -> None:
    ears, mouth = ears_of(ALL), chosen_synthesizer(ALL)
    assert (ears.name, mouth.name) == ("wyoming", "piper")
    health = await mouth.health()
    await ears.close()
    await mouth.close()
    assert health is None or "piper" in health


async def test_each_fault_is_in_the_health_of_engines_of_which_none_works() -> None:
    settings = replace(ALL, asr=("openai",), tts=("piper", "openai"), piper_command=("no-such-piper",))
    ears, mouth = await ears_of(settings).health(), await chosen_synthesizer(settings).health()
    assert ears is not None
    assert "voice.openai_key" in ears
    assert mouth is not None
    assert "piper is not installed" in mouth
    assert "voice.openai_key" in mouth


async def test_the_engines_of_this_machine_are_made_without_starting_any() -> None:
    chain = ears_of(replace(ALL, asr=("whisper", "pocketsphinx")))
    assert [engine.name for engine in chain.engines] == ["whisper", "pocketsphinx"]
    await chain.close()


async def test_whisper_without_a_model_leaves_the_next_engine_and_names_the_command(tmp_path: Path) -> None:
    chain = ears_of(replace(ALL, asr=("whisper", "pocketsphinx"), whisper_model="small.en"), tmp_path)
    assert "microclaw voice fetch-model small.en" in (await chain.engines[0].health() or "")
    assert await chain.health() is None
    recognition = await chain.begin(lambda _text: None)
    assert (await recognition.finish()).text == ""
    await chain.close()


@pytest.mark.parametrize(
    ("choose", "settings", "words"),
    [
        (ears_of, replace(ALL, asr=("siri",)), "'siri'; there are pocketsphinx, whisper, wyoming, openai"),
        (chosen_synthesizer, replace(ALL, tts=("pocketsphinx",)), "there are flite, espeak"),
        (chosen_synthesizer, replace(ALL, tts=()), "names no engine"),
        (chosen_synthesizer, replace(ALL, tts=("flite", "flite")), "names flite twice"),
        (ears_of, replace(ALL, wyoming_asr=None), "needs voice.wyoming_asr"),
        (ears_of, replace(ALL, asr=("whisper",), whisper_model="huge"), "no Whisper model 'huge'"),
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


def test_wake_words_are_off_until_one_is_named() -> None:
    assert chosen_wake_words(VoiceSettings()) is None
    words = chosen_wake_words(VoiceSettings(wake_words=("okay_nabu", "alexa")))
    assert words is not None
    assert [model.name for model in words.models] == ["okay_nabu", "alexa"]
    with pytest.raises(ConfigError, match="there are alexa"):
        chosen_wake_words(VoiceSettings(wake_words=("hey_you",)))
