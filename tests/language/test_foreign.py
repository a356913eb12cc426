"""A sentence in other letters is no English; one in Latin letters may be."""

from __future__ import annotations

import pytest

from microclaw.language.foreign import is_in_other_letters


@pytest.mark.parametrize("said", ["打开灯", "включи свет", "ライトをつけて", "άναψε το φως", "شغل الضوء", "불 켜"])
def test_other_letters_are_no_english(said: str) -> None:
    assert is_in_other_letters(said)


@pytest.mark.parametrize("said", ["turn on pin 4", "", "42", "włącz światło", "set 照明 on pin 4 high"])
def test_latin_letters_may_be_english(said: str) -> None:
    assert not is_in_other_letters(said)
