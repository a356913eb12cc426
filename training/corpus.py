"""The labelled sentences, and one digest over everything that the weights depend on. Trains nothing.

A line of a file is `label<TAB>values<TAB>sentence`. Labels and values are those of offline/slot_filling.py; several
values are key=value, apart by spaces, `led` alone for the board's own LED, `fast` or `slow` for a pace in words.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from microclaw.language.numbers import TaggedText
from microclaw.offline.classifier import number_features
from microclaw.offline.sentences import english

SENTENCES = Path(__file__).parent / "sentences"
WEIGHTS = Path(__file__).parents[1] / "src/microclaw/offline/intents/en/weights.zip"
ABOUT = "about.json"
_EVERY = 16  # of how many sentences one is put through the code: about two seconds


@dataclass(frozen=True)
class Example:
    """A sentence of a file, what its author gave it, and what the classifiers see of it."""

    source: str
    label: str
    values: dict[str, str]
    text: str
    said: TaggedText
    features: frozenset[str]


def read_examples(every: int = 1) -> Iterator[Example]:
    """The sentences in the order of files and lines; with `every` only each so many."""
    sentences = english()
    number = 0
    for path in sorted(SENTENCES.glob("*.tsv")):
        for line in path.read_text(encoding="utf-8").splitlines():
            number += 1
            if number % every == 0:
                label, values, text = line.split("\t")
                given = {part.partition("=")[0]: part.partition("=")[2] for part in values.split()}
                yield Example(path.stem, label, given, text, *sentences.features(text))


def digest(weights: zipfile.ZipFile) -> str:
    """Of the sentences, the weights, and the features that the code and the lexicon make of some of the sentences."""
    found = hashlib.sha256()
    for path in sorted(SENTENCES.glob("*.tsv")):
        found.update(path.read_bytes())
    for name in sorted(set(weights.namelist()) - {ABOUT}):
        found.update(name.encode() + weights.read(name))
    for example in read_examples(_EVERY):
        marks = [number_features(example.said, at, example.label) for at in range(len(example.said.numbers))]
        for features in (example.features, *marks):
            found.update("\n".join(sorted(features)).encode())
    return found.hexdigest()
