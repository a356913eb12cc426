"""A graph of words gives exactly the sentences of its rules."""

from __future__ import annotations

import pytest

from microclaw.errors import VoiceError
from microclaw.voice.engines import word_graph as module
from microclaw.voice.engines.word_graph import WordGraph, word_graph

RULES = {
    "start": "(turn | switch) (on <what> | <what> off) [please] | <stop>",
    "what": "[the] <thing> [on pin <number>]",
    "thing": "light | fan",
    "number": "one | two | thirty [one | two]",
    "stop": "stop [<what>]",
}


def graph(rules: dict[str, str] = RULES, *, copied: str = "", unsayable: str = "") -> WordGraph:
    return word_graph(rules, "start", lambda name: name in copied.split(), lambda word: word not in unsayable.split())


def sentences(found: WordGraph, state: int = 0) -> set[str]:
    after = {(word, end) for start, end, word in found.arcs if start == state}
    tails = {f"{word} {tail}".strip() for word, end in after for tail in sentences(found, end)}
    return tails | ({""} if state == 1 else set())


def test_a_graph_gives_the_sentences_of_its_rules() -> None:
    small = {"start": "a (b | c [d]) | <e> a", "e": "x | y"}
    assert sentences(graph(small)) == {"a b", "a c", "a c d", "x a", "y a"}


def test_a_word_that_cannot_be_said_takes_its_alternative_with_it() -> None:
    assert "turn on light" not in sentences(graph(unsayable="light"))
    assert "turn on fan" in sentences(graph(unsayable="light"))
    assert {s.split()[0] for s in sentences(graph(unsayable="light fan"))} == {"stop"}


def test_rules_that_leave_nothing_to_say_are_refused() -> None:
    with pytest.raises(VoiceError):
        graph(unsayable="turn switch stop")


def test_too_many_arcs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ARCS", 5)
    with pytest.raises(VoiceError):
        graph()


def test_a_graph_accepts_its_sentences_alone() -> None:
    found = graph()
    assert found.accepts("switch the fan on pin thirty two off")
    assert not found.accepts("switch the fan on pin thirty")
    assert found.accepts("switch the fan on pin thirty", whole=False)
    assert not found.accepts("switch fan the", whole=False)
    assert not found.accepts("")


def test_the_language_model_has_the_pairs_of_words_that_follow_each_other() -> None:
    model = graph({"start": "a b | a c"}).language_model()
    pairs = {tuple(line.split()[1:]) for line in model.split("\\2-grams:")[1].splitlines() if line[:1] in "-0"}
    assert {pair for pair in pairs if len(pair) == 2} == {
        ("<s>", "a"),
        ("a", "b"),
        ("a", "c"),
        ("b", "</s>"),
        ("c", "</s>"),
    }
    assert "ngram 2=5" in model
