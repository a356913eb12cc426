"""The findings of `doctor` about the engines of speech."""

from __future__ import annotations

import pytest

from microclaw.voice.operations import EngineState, VoiceFacts

GONE = "espeak is not installed (next: make setup-system)"


@pytest.mark.parametrize(
    ("other", "ok"), [(None, True), ("flite is not installed (next: make setup-system)", False)], ids=["spare", "none"]
)
def test_an_engine_that_fails_is_a_warning_while_another_one_speaks(other: str | None, ok: bool) -> None:
    rows = (("asr", "whisper", None), ("tts", "espeak", GONE), ("tts", "flite", other))
    found = list(VoiceFacts(state="on", problem=None, engines=tuple(EngineState(*row) for row in rows)).findings())
    assert (found[0].ok, found[0].warns) == (True, False)
    assert (found[1].ok, found[1].warns) == (ok, ok)
