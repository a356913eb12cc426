"""What `doctor` says of the engines of speech."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.cli.doctor import voice_engines

GONE = "espeak is not installed (next: make setup-system)"


def voice(*engines: tuple[str, str, str | None]) -> dict[str, Any]:
    rows = [{"role": role, "name": name, "problem": problem} for role, name, problem in engines]
    return {"state": "on", "problem": None, "engines": rows}


@pytest.mark.parametrize(
    ("other", "ok"), [(None, True), ("flite is not installed (next: make setup-system)", False)], ids=["spare", "none"]
)
def test_an_engine_that_fails_is_a_warning_while_another_one_speaks(other: str | None, ok: bool) -> None:
    found = list(voice_engines(voice(("asr", "pocketsphinx", None), ("tts", "espeak", GONE), ("tts", "flite", other))))
    assert (found[0].text, found[0].ok, found[0].warns) == ("pocketsphinx hears", True, False)
    assert (found[1].text, found[1].next_step) == ("espeak: espeak is not installed", "make setup-system")
    assert (found[1].ok, found[1].warns) == (ok, ok)


def test_voice_that_is_off_says_why() -> None:
    off = {"state": "off", "problem": "av not installed (next: make voice)", "engines": []}
    assert [(f.ok, f.text) for f in voice_engines(off)] == [(True, "off: av not installed (next: make voice)")]


def test_wake_words_have_a_line_of_their_own() -> None:
    rows = voice(("asr", "pocketsphinx", None), ("wake", "pymicro-wakeword (alexa)", None))
    assert [f.text for f in voice_engines(rows)][-1] == "pymicro-wakeword (alexa) wakes"
    broken = voice(("asr", "pocketsphinx", None), ("wake", "pymicro-wakeword (alexa)", "no model (next: make voice)"))
    finding = list(voice_engines(broken))[-1]
    assert (finding.ok, finding.text) == (False, "pymicro-wakeword (alexa): no model")
