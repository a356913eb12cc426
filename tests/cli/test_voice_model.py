"""`voice fetch-model`: what it refuses, and that the settings it names next are ones."""

from __future__ import annotations

from tests.cli.conftest import Run

from microclaw.config.settings import VoiceSettings


def test_an_unknown_model_is_refused_with_the_names_that_there_are(run: Run) -> None:
    ran = run("voice", "fetch-model", "huge")
    assert ran.code == 1
    assert "tiny.en, base.en, small.en" in ran.err


def test_the_hub_that_a_proxy_does_not_reach_is_an_error_with_a_way_without_it(run: Run) -> None:
    run("config", "set", "proxy.url", "http://127.0.0.1:9")  # the port of "discard": nobody listens
    ran = run("voice", "fetch-model")
    assert ran.code == 1
    assert "huggingface.co cannot be reached" in ran.err
    assert "voice.whisper_model FOLDER" in ran.err


def test_the_engines_that_it_names_next_are_two(run: Run) -> None:
    assert run("config", "set", "voice.asr", "whisper pocketsphinx").code == 0
    assert run("config", "get", "voice.asr").out.split() == ["whisper", "pocketsphinx"]
    assert VoiceSettings().whisper_model == "tiny.en"
