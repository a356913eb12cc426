"""The grammar of spoken commands: what it gives, the offline reading understands."""

from __future__ import annotations

import random

import pytest

from microclaw.offline.sentences import english
from microclaw.voice.engines.command_grammar import (
    MAX_NAMES,
    SpokenNames,
    command_grammar,
    spoken_words,
)
from microclaw.voice.engines.word_graph import WordGraph

SAMPLED = 400
LEAST_UNDERSTOOD = 0.6


def walk(graph: WordGraph, chance: random.Random) -> str:
    """A sentence by chance."""
    after: dict[int, list[tuple[int, str]]] = {}
    for state, end, word in graph.arcs:
        after.setdefault(state, []).append((end, word))
    state, words = 0, []
    while state != 1:
        state, word = chance.choice(after[state])
        words.append(word)
    return " ".join(words)


@pytest.mark.parametrize(
    "said",
    [
        "blink pin two every half second",
        "turn on pin seventeen",
        "switch the relay on pin twelve off",
        "dim pin six to thirty percent",
        "what is the temperature",
        "read the temperature every ten seconds",
        "turn on pin four when the temperature is above twenty eight",
        "when the button on pin zero is pressed turn on pin two",
        "turn off pin four in ten minutes",
        "every monday at seven p.m. turn on pin three",
        "stop blink",
        "undo",
        "yes",
        "no",
        "please turn the led off",
        "turn off pin four on kitchen",
        "switch on the fan",
        "what time is it",
        "what's the time",
        "tell me the time",
        "what is scheduled",
        "cancel schedule one",
        "move the servo on pin four to ninety degrees",
        "traffic light on pins four five and six",
        "run a traffic light on pins four five and six",
        "no pin ten",
        "no i meant pin ten",
        "i meant pin ten",
        "no pins four and five",
        "kitchen",
        "on kitchen",
        "the kitchen",
    ],
)
def test_the_manuals_sentences_are_in_the_grammar(said: str) -> None:
    assert command_grammar(SpokenNames(("kitchen",), (), ("fan",))).graph.accepts(said)


def test_most_of_what_the_grammar_gives_is_understood_without_a_model() -> None:
    grammar, chance = command_grammar(SpokenNames()), random.Random(5)
    said = [walk(grammar.graph, chance) for _ in range(SAMPLED)]
    understood = [text for text in said if english().parse(grammar.transcript(text)) is not None]
    assert len(understood) >= LEAST_UNDERSTOOD * SAMPLED, sorted(set(said) - set(understood))[:20]


def test_a_name_is_said_in_words_and_written_as_it_is() -> None:
    grammar = command_grammar(SpokenNames(("virtual-1", "Garage_12"), ("blink-4",), ()))
    assert grammar.graph.accepts("turn on pin two on virtual one")
    assert grammar.transcript("turn on pin two on virtual one") == "turn on pin two on virtual-1"
    assert grammar.transcript("turn on pin two on garage twelve") == "turn on pin two on Garage_12"
    assert grammar.transcript("stop blink four") == "stop blink-4"


def test_names_that_cannot_be_said_are_left_out() -> None:
    assert spoken_words("42") == ()
    assert spoken_words("x" * 30) == ()
    assert spoken_words("a b c d e f g") == ()
    grammar = command_grammar(SpokenNames(("kitchen", "zqxv")), lambda word: word != "zqxv")
    assert grammar.graph.accepts("turn on pin two on kitchen")
    assert "zqxv" not in grammar.graph.words


def test_only_the_first_names_are_taken() -> None:
    letters = [f"{first}{second}x" for first in "bcdfghjklm" for second in "bcdfghjklmnpqrstvwxyz"]
    words = command_grammar(SpokenNames((), (), tuple(letters))).graph.words
    assert words & set(letters) == set(letters[:MAX_NAMES])
