"""What a sentence is most likely about, learned from labelled sentences: linear classifiers over its words.

The last reader of a sentence, where neither a template nor the known words fit the whole of it. It gives probabilities
and no more: whether they suffice to act is decided in likely.py, the values are read in slots.py. The weights come from
scripts/sentences/ by scripts/train_sentences.py.
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

from microclaw.models.frames import Bag
from microclaw.models.numbers import Number, shape_of

_WEIGHTS = "learned.zip"
_TOKEN = re.compile(r"[A-Z]+|[a-z][a-z'-]*|[?!,;.]")
_SHORTEST_STEM = 4
_GRAM = 4
_PINS_ON_A_BOARD = 48


@dataclass(frozen=True, slots=True)
class Head:
    """One question about a sentence: its possible answers, and what each feature says for each of them."""

    answers: Sequence[str]
    bias: Sequence[float]
    weights: Mapping[str, Sequence[int]]  # in units of `step`
    step: float

    def probabilities(self, features: Collection[str]) -> dict[str, float]:
        """Softmax of the summed weights; features of unit length, so that long sentences are no surer than short."""
        known = [row for row in map(self.weights.get, features) if row is not None]
        scale = self.step / (math.sqrt(len(known)) or 1.0)
        sums = [sum(column) for column in zip(*known, strict=True)] or [0] * len(self.bias)
        scores = [bias + scale * told for bias, told in zip(self.bias, sums, strict=True)]
        top = max(scores)
        powers = [math.exp(score - top) for score in scores]
        total = sum(powers)
        return {answer: power / total for answer, power in zip(self.answers, powers, strict=True)}


@cache
def english() -> Mapping[str, Head]:
    """The heads learned from English sentences, by name."""
    packed = resources.files(__package__) / "intents" / "en" / _WEIGHTS
    with packed.open("rb") as file, zipfile.ZipFile(file) as members:
        about = json.loads(members.read("about.json"))
        return {name: _head(name, head, members) for name, head in about["heads"].items()}


def _head(name: str, about: Mapping[str, Any], members: zipfile.ZipFile) -> Head:
    """A head as scripts/train_sentences.py writes it: features a line each, their weights as signed bytes in rows."""
    features = members.read(f"{name}.features").decode().split("\n")
    weights = array("b", members.read(f"{name}.weights"))
    width = len(about["answers"])
    rows = {feature: weights[n * width : (n + 1) * width] for n, feature in enumerate(features)}
    return Head(about["answers"], about["bias"], rows, about["step"])


def features_of(said: str, numbers: Sequence[Number], bag: Bag | None) -> frozenset[str]:
    """A normalized sentence as features: words, their neighbours, their letters, and what known words mean."""
    tokens = _TOKEN.findall(shape_of(said, numbers))
    return frozenset([*_of_words(tokens), *_of_meanings(bag)])


def number_features(said: str, numbers: Sequence[Number], at: int, label: str) -> frozenset[str]:
    """One number of a sentence as features: its unit, its size, the words beside it, which number it is of how many."""
    number = numbers[at]
    before = _TOKEN.findall(shape_of(said[: number.start], numbers[:at]))[-4:]
    behind = [Number(n.value, n.unit, n.start - number.end, n.end - number.end) for n in numbers[at + 1 :]]
    after = _TOKEN.findall(shape_of(said[number.end :], behind))[:3]
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


def _of_meanings(bag: Bag | None) -> Iterator[str]:
    parts = bag.parts if bag is not None else ()
    for part in parts:
        yield from (f"@{tag}" for tag in part.tags)
    said = ["|".join(sorted(part.tags)) for part in parts if part.tags != {"filler"}]
    yield from (f"@{pair}" for pair in _joined(["<", *said, ">"], 2))


def _joined(words: Sequence[str], count: int) -> Iterable[str]:
    return (" ".join(words[n : n + count]) for n in range(len(words) - count + 1))
