"""What a sentence is most likely about, learned from labelled sentences: linear classifiers over its words.

It gives probabilities and no more: which of them suffice is decided in confidence.py, the values are read in
slot_filling.py. The weights come from training/sentences/ by training/train.py. What a sentence's features are must
not change without new weights: a test compares their digest (training/corpus.py).
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from microclaw.language.numbers import Number, TaggedText, shape_of

_WEIGHTS = "weights.zip"
UNKNOWN = frozenset({"unknown"})
_WORD = re.compile(r"\S+")
_TOKEN = re.compile(r"[A-Z]+|[a-z][a-z'-]*|[?!,;.]")
_SHORTEST_STEM = 4
_GRAM = 4
_PINS_ON_A_BOARD = 48


@dataclass(frozen=True, slots=True)
class Head:
    """One question about a sentence: its possible answers, and what each feature says for each of them.

    A feature has a row in `weights` (one signed byte for each answer, in units of `step`, already times its rarity) and
    a place in `rarities` (the square root of its inverse document frequency, in units of `rarity_step`).
    """

    answers: Sequence[str]
    bias: Sequence[float]
    features: Mapping[str, int]
    rarities: bytes
    weights: array[int]
    step: float
    rarity_step: float

    def probabilities(self, features: Collection[str]) -> dict[str, float]:
        """Softmax of the summed weights; features of unit length, so that long sentences are no surer than short."""
        rows = [row for row in map(self.features.get, features) if row is not None]
        length = math.sqrt(sum(self.rarities[row] ** 2 for row in rows)) * self.rarity_step
        width = len(self.answers)
        columns = zip(*(self.weights[row * width : (row + 1) * width] for row in rows), strict=True)
        sums = [sum(column) for column in columns] or [0] * width
        scale = self.step / (length or 1.0)
        scores = [bias + scale * told for bias, told in zip(self.bias, sums, strict=True)]
        top = max(scores)
        powers = [math.exp(score - top) for score in scores]
        total = sum(powers)
        return {answer: power / total for answer, power in zip(self.answers, powers, strict=True)}


@cache
def learned_heads() -> Mapping[str, Head]:
    """The heads learned from English sentences, by name."""
    packed = resources.files(__package__) / "intents" / "en" / _WEIGHTS
    with packed.open("rb") as file, zipfile.ZipFile(file) as members:
        about = json.loads(members.read("about.json"))
        return {name: _head(name, head, members) for name, head in about["heads"].items()}


def _head(name: str, about: Mapping[str, Any], members: zipfile.ZipFile) -> Head:
    features = members.read(f"{name}.features").decode().split("\n")
    return Head(
        about["answers"],
        about["bias"],
        {feature: row for row, feature in enumerate(features)},
        members.read(f"{name}.rarities"),
        array("b", members.read(f"{name}.weights")),
        about["step"],
        about["rarity_step"],
    )


class Lexicon:
    """The meanings of one language's words."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        meanings: dict[str, set[str]] = {}
        for tag, phrases in _flat(data):
            for phrase in phrases:
                meanings.setdefault(phrase, set()).add(tag)
        self._meanings = {phrase: frozenset(tags) for phrase, tags in meanings.items()}
        longest = sorted(meanings, key=len, reverse=True)
        self._phrase = re.compile(rf"(?:{'|'.join(map(re.escape, longest))})(?![\w'-])")

    def meanings(self, shape: str) -> tuple[frozenset[str], ...]:
        """The tags of each phrase or word of a sentence in its order; a number's unit in capitals is its own tag."""
        return tuple(self._each(shape))

    def _each(self, shape: str) -> Iterator[frozenset[str]]:
        at = 0
        while at < len(shape):
            if shape[at] == " ":
                at += 1
                continue
            found = self._phrase.match(shape, at)
            if found is not None:
                yield self._meanings[found[0]]
                at = found.end()
                continue
            word = _WORD.match(shape, at)
            assert word is not None
            yield frozenset({word[0].lower()}) if word[0][0].isupper() else UNKNOWN
            at = word.end()


def words(heads: Mapping[str, Head]) -> Iterator[str]:
    """Every word that the classifiers know of."""
    return (feature for head in heads.values() for feature in head.features if feature.isalpha() and feature.islower())


def features_of(said: TaggedText, meanings: Sequence[frozenset[str]]) -> frozenset[str]:
    """A sentence as features: its words, their neighbours, their letters, and what words that are known mean."""
    tokens = _TOKEN.findall(said.shape)
    return frozenset([*_of_words(tokens), *_of_meanings(meanings), *(["??"] if said.asks else ())])


def number_features(said: TaggedText, at: int, label: str) -> frozenset[str]:
    """One number of a sentence as features: its unit, its size, the words beside it, which number it is of how many."""
    number, numbers = said.numbers[at], said.numbers
    before = _TOKEN.findall(shape_of(said.text[: number.start], numbers[:at]))[-4:]
    behind = [Number(n.value, n.unit, n.start - number.end, n.end - number.end) for n in numbers[at + 1 :]]
    after = _TOKEN.findall(shape_of(said.text[number.end :], behind))[:3]
    b, a = ["<", "<", "<", "<", *before][-4:], [*after, ">", ">", ">"][:3]
    plain = [n for n in numbers if n.unit in ("pin", "bare", "milli")]
    size = "pin" if 0 <= number.value <= _PINS_ON_A_BOARD else "percent" if 0 <= number.value <= 100 else "more"
    marks = [
        f"unit {number.unit}",
        f"size {number.unit} {size}",
        f"whole {number.value == int(number.value)}",
        f"before {b[3]}",
        f"before {b[2]} {b[3]}",
        f"before {b[1]} {b[2]} {b[3]}",
        f"after {a[0]}",
        f"after {a[0]} {a[1]}",
        f"between {b[3]} {a[0]}",
        *(f"near {word}" for word in b),
        *(f"next {word}" for word in a),
        f"{plain.index(number) + 1 if number in plain else 0} of {len(plain)}",
        f"pins {sum(n.unit == 'pin' for n in numbers)}",
    ]
    return frozenset([*marks, f"label {label}", *(f"{label} {mark}" for mark in marks)])


def _of_words(tokens: Sequence[str]) -> Iterator[str]:
    framed = ["<", *tokens, ">"]
    yield from tokens
    yield from _joined(framed, 2)
    yield from _joined(framed, 3)
    for first, last in zip(tokens, tokens[2:], strict=False):
        yield f"{first}_{last}"
    for word in tokens:
        if word[0].islower() and len(word) >= _SHORTEST_STEM:
            letters = f"^{word}$"
            yield f"~{word[:_GRAM]}"
            yield from (f"#{letters[n : n + _GRAM]}" for n in range(len(letters) - _GRAM + 1))


def _of_meanings(meanings: Sequence[frozenset[str]]) -> Iterator[str]:
    for tags in meanings:
        yield from (f"@{tag}" for tag in tags)
    said = ["|".join(sorted(tags)) for tags in meanings if tags != {"filler"}]
    yield from (f"@{pair}" for pair in _joined(["<", *said, ">"], 2))


def _joined(words: Sequence[str], count: int) -> Iterable[str]:
    return (" ".join(words[n : n + count]) for n in range(len(words) - count + 1))


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    for name, value in data.items():
        if isinstance(value, list):
            yield prefix + name, value
        else:
            yield from _flat(value, "q:" if name == "quantities" else "")
