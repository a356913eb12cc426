"""`voice setup`: what works, what others lack, a sentence through each pair."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, run_in

from microclaw.cli.voice_setup import PairTrial, proposed_order, tried_order
from microclaw.voice.engine_trial import EngineTrial


def test_the_engines_are_told_tried_and_their_order_written(run: Run, tmp_path: Path) -> None:
    words = ("--json", "--yes", "voice", "setup", "--tts", "flite")
    ran = run_in(tmp_path / "home", *words, timeout_s=300)  # it makes the grammar of a recognizer
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    problems = {(one["role"], one["name"]): one["problem"] for one in told["engines"]}
    assert problems["asr", "pocketsphinx"] is None
    assert problems["tts", "flite"] is None
    assert "voice.piper_voice" in problems["tts", "piper"]
    assert "voice.openai_key" in problems["asr", "openai"]
    [trial] = told["trials"]
    assert (trial["tts"], trial["asr"], trial["ok"]) == ("flite", "pocketsphinx", True)
    assert trial["heard"] == trial["said"]
    assert told["changes"] == {"voice.tts": "flite"}
    assert run("config", "get", "voice.tts").out.split()[-1] != "espeak"


def test_an_engine_that_lacks_something_is_not_chosen(run: Run, tmp_path: Path) -> None:
    refused = run("--yes", "voice", "setup", "--asr", "openai")
    assert refused.code != 0
    assert "openai does not work: OpenAI's speech needs a key" in refused.err
    unknown = run("--yes", "voice", "setup", "--tts", "parrot")
    assert unknown.code != 0
    assert "there is no engine 'parrot' that speaks" in unknown.err
    assert not (tmp_path / "home" / "config.toml").exists()


def test_a_document_needs_a_yes(run: Run) -> None:
    refused = run("--json", "voice", "setup")
    assert refused.code == 2
    assert "--json goes with --yes" in refused.err


def test_what_a_person_has_set_comes_first_and_no_cloud_is_proposed() -> None:
    works: dict[str, str | None] = dict.fromkeys(("flite", "espeak", "piper", "wyoming", "openai"))
    assert proposed_order("tts", works, ("flite", "espeak"), is_own=False) == ("piper", "wyoming", "flite", "espeak")
    assert proposed_order("tts", works, ("openai", "flite"), is_own=True)[:2] == ("openai", "flite")
    assert proposed_order("tts", {**works, "piper": "no"}, ("piper",), is_own=True) == ("wyoming", "flite", "espeak")
    assert "openai" not in proposed_order("tts", works, ("espeak",), is_own=True)


def heard(tts: str, asr: str, text: str | None, problem: str | None = None) -> PairTrial:
    trial = None if text is None else EngineTrial("blink", text, 1.0, 1.0, 1, None, 1)
    return PairTrial(tts, asr, trial, problem)


def test_an_engine_that_failed_is_left_out_and_one_that_was_understood_is_first() -> None:
    chosen = {"asr": ("whisper", "pocketsphinx"), "tts": ("espeak", "flite")}
    trials = [
        heard("espeak", "whisper", None, "it ended with -6"),
        heard("flite", "whisper", None, "it ended with -6"),
        heard("espeak", "pocketsphinx", "drink"),
        heard("flite", "pocketsphinx", "blink"),
    ]
    order, left_out = tried_order(chosen, trials)
    assert order == {"asr": ("pocketsphinx",), "tts": ("flite", "espeak")}
    assert left_out == {("asr", "whisper"): "it ended with -6"}


def test_where_every_engine_failed_the_choice_stays_and_is_told() -> None:
    order, left_out = tried_order({"asr": ("whisper",), "tts": ("flite",)}, [heard("flite", "whisper", None, "gone")])
    assert order == {"asr": ("whisper",), "tts": ("flite",)}
    assert left_out == {("asr", "whisper"): "gone", ("tts", "flite"): "gone"}


def test_an_engine_that_is_set_and_fails_goes_and_the_reason_is_told(run: Run, tmp_path: Path) -> None:
    assert run("config", "set", "voice.asr", "whisper pocketsphinx").code == 0
    ran = run_in(tmp_path / "home", "--yes", "voice", "setup", "--tts", "flite", timeout_s=300)
    assert ran.code == 0, ran.err
    assert "voice.asr: whisper is left out: the Whisper model tiny.en is not on this machine" in ran.out
    assert run("config", "get", "voice.asr").out.split() == ["pocketsphinx"]


def test_without_a_host_the_engines_are_tried_in_the_command_itself(run: Run, tmp_path: Path) -> None:
    ran = run_in(tmp_path / "home", "--json", "voice", "test", timeout_s=300)
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert (told["schema"], told["ok"]) == ("microclaw.voice-test/1", True)
    assert told["heard"] == told["said"]
    assert run("voice", "test", "").code == 2
    parts = [(f["part"], f["text"]) for f in json.loads(run("--json", "doctor").out)["findings"]]
    assert ("voice", "pocketsphinx hears") in parts
    assert ("voice", "flite speaks") in parts
    run("config", "set", "voice.enabled", "false")
    off = run("voice", "test")
    assert off.code != 0
    assert "voice is off: it is switched off" in off.err
