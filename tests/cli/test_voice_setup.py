"""`voice setup`: what works, what others lack, a sentence through each pair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Run, run_in

from microclaw.cli.voice_setup import proposed_order, tried_order


def test_the_engines_are_told_tried_and_their_order_written(run: Run, tmp_path: Path) -> None:
    words = ("--json", "--yes", "voice", "setup", "--tts", "flite")
    ran = run_in(tmp_path / "home", *words, timeout_s=300)
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    problems = {(one["role"], one["name"]): one["problem"] for one in told["engines"]}
    assert problems["asr", "whisper"] is None
    assert problems["tts", "flite"] is None
    assert "voice.wyoming_tts" in problems["tts", "wyoming"]
    assert "voice.openai_key" in problems["asr", "openai"]
    [trial] = told["trials"]
    assert (trial["tts"], trial["asr"], trial["ok"]) == ("flite", "whisper", True)
    assert trial["heard"] == trial["said"]
    assert told["changes"] == {"voice.tts": "flite"}
    assert run("config", "get", "voice.tts").out.split()[-1] != "espeak"


def test_an_engine_that_lacks_something_is_not_chosen(run: Run, tmp_path: Path) -> None:
    assert run("--json", "voice", "setup").code == 2
    for engine in (("--asr", "openai"), ("--tts", "parrot")):
        assert run("--yes", "voice", "setup", *engine).code != 0
    assert not (tmp_path / "home" / "config.toml").exists()


def test_what_a_person_has_set_comes_first_and_no_cloud_is_proposed() -> None:
    works: dict[str, str | None] = dict.fromkeys(("flite", "espeak", "wyoming", "openai"))
    assert proposed_order("tts", works, ("flite", "espeak"), is_own=False) == ("wyoming", "flite", "espeak")
    assert proposed_order("tts", works, ("openai", "flite"), is_own=True)[:2] == ("openai", "flite")
    assert proposed_order("tts", {**works, "espeak": "no"}, ("espeak",), is_own=True) == ("wyoming", "flite")
    assert "openai" not in proposed_order("tts", works, ("espeak",), is_own=True)


def test_an_engine_that_failed_is_left_out_and_one_that_was_understood_is_first() -> None:
    tried = {"espeak whisper": None, "flite whisper": None, "espeak wyoming": "drink", "flite wyoming": "blink"}
    trials: list[dict[str, Any]] = [
        {"tts": tts, "asr": asr, "problem": None if text else "it ended with -6", "heard": text, "ok": text == "blink"}
        for (tts, asr), text in ((pair.split(), text) for pair, text in tried.items())
    ]
    chosen = {"asr": ("whisper", "wyoming"), "tts": ("espeak", "flite")}
    assert tried_order(chosen, trials) == {"asr": ("wyoming",), "tts": ("flite", "espeak")}


def test_a_hub_that_a_proxy_does_not_reach_is_an_error(run: Run) -> None:
    run("config", "set", "proxy.url", "http://127.0.0.1:9")  # the port of "discard": nobody listens
    ran = run("voice", "setup", "--yes", "--fetch", "tiny.en")
    assert (ran.code, "tiny.en" in ran.err) == (1, True)
