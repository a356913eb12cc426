"""Sentences are judged by what the board shows: a few with known ends, said to a real host with a virtual board."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.agent_sentences import Outcome, as_text, report, run
from bench.wanted import read_sentences, wants_of

from microclaw.hardware.boards.reader import load_board

DATA = Path(__file__).parents[2] / "bench" / "data"
DRIVEN = ("level", "duty", "pulse", "blink", "times", "fade", "button", "lights")
HEAD = "id\tutterance\tcategory\tslots\tbefore\tevidence"
ROWS = [
    ("turn on pin 4", "act", "level 4=1", Outcome.RIGHT),
    ("turn on pin 4", "act", "level 5=1", Outcome.ACTED_WRONGLY),
    ("turn on the heater", "act", "level 4=1", Outcome.ASKED),
    ("who won the football match yesterday", "act", "level 4=1", Outcome.REFUSED),
    ("what is the temperature", "query", "reads humidity", Outcome.WRONG),
    ("blink pin 6 every 100 ms", "keep_doing", "blink 6=900", Outcome.ACTED_WRONGLY),
]


def test_each_end_of_a_sentence_is_told_from_the_others(tmp_path: Path) -> None:
    file = tmp_path / "sentences.tsv"
    rows = [f"{n}\t{said}\t{category}\t\t\t{wants}" for n, (said, category, wants, _) in enumerate(ROWS)]
    file.write_text("\n".join([HEAD, *rows]) + "\n", encoding="utf-8")
    said = run(file, lanes=1)
    assert [one.outcome for one in said] == [outcome for *_, outcome in ROWS], [one.missing for one in said]
    document = report(said, file, "offline")
    assert document["metrics"]["acted_wrongly"] == {"value": 2, "unit": "", "goal": 0, "ok": False}
    assert "acted wrongly: 2 (goal 0)" in as_text(document)


@pytest.mark.parametrize("file", sorted(DATA.glob("sentences-*.tsv")), ids=lambda file: file.stem)
def test_the_evidence_of_a_set_is_what_its_slots_say(file: Path) -> None:
    board = load_board("virtual")
    for sentence in read_sentences(file, board):
        assert sentence.wants == wants_of("; ".join(map(str, sentence.wants)))
        assert all(pin in board.pins for want in sentence.wants if want.kind in DRIVEN for pin in want.pins)


def test_the_public_set_has_a_hundred_sentences_of_every_category() -> None:
    sentences = read_sentences(DATA / "sentences-public.tsv", load_board("virtual"))
    categories = {sentence.category for sentence in sentences}
    assert len(sentences) == 100
    assert categories == {"act", "keep_doing", "query", "ambiguous", "impossible", "dangerous"}
