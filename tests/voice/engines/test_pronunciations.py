"""How words sound."""

from __future__ import annotations

import pytest

from microclaw.voice.engines.command_grammar import template_words
from microclaw.voice.engines.pronunciations import Pronunciations


def test_words_are_found_in_the_dictionary_the_table_and_flite() -> None:
    sounds = Pronunciations()
    sounds.look_up(["kitchen", "gpio", "zigbee", "q8"], ask_flite=True)
    assert [word for word in ("kitchen", "gpio", "zigbee", "q8") if sounds.sayable(word)] == ["kitchen", "gpio", "zigbee"]
    assert sounds.extra(["kitchen", "zigbee"]) == {"zigbee": "Z IH G B IY"}
    assert sounds.missing == ["q8"]


def test_without_flite_a_name_is_left_out_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    sounds = Pronunciations()
    sounds.look_up(["zigbee"], ask_flite=True)
    assert not sounds.sayable("zigbee")
    assert sounds.missing == ["zigbee"]


def test_all_but_a_few_words_of_the_templates_can_be_said() -> None:
    sounds = Pronunciations()
    sounds.look_up(template_words(), ask_flite=False)
    silent = {word for word in template_words() if not sounds.sayable(word)}
    assert len(silent) < 15, silent
