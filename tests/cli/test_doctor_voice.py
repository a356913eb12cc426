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
    assert (found[0].ok, found[0].warns) == (True, False)
    assert (found[1].ok, found[1].warns) == (ok, ok)
