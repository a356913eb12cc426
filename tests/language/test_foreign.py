"""A sentence in another language is known as that; an English one never is."""

from __future__ import annotations

import csv

import pytest
from tests.offline.score import VECTORS

from microclaw.language.foreign import foreign_language


@pytest.mark.parametrize(
    ("said", "language"),
    [
        ("allume la lampe s'il te plaît", "French"),
        ("enciende la luz", "Spanish"),
        ("schalte die Lampe ein", "German"),
        ("schalte pin 4 an", "German"),
        ("accendi la luce sul pin 4", "Italian"),
        ("zet de lamp aan", "Dutch"),
        ("włącz światło", "Polish"),
        ("ligue a luz por favor", "Portuguese"),
        ("打开灯", "Chinese or Japanese"),
        ("включи свет", "Russian or another language in Cyrillic letters"),
        ("ライトをつけて", "Japanese"),
    ],
)
def test_a_sentence_of_another_language_is_told(said: str, language: str) -> None:
    assert foreign_language(said) == language


@pytest.mark.parametrize("name", ["sentences.tsv", "sentences_own.tsv"])
def test_no_english_sentence_is_taken_for_another_language(name: str) -> None:
    with (VECTORS / name).open(encoding="utf-8") as file:
        said = [row["utterance"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    assert [(one, foreign_language(one)) for one in said if foreign_language(one)] == []
