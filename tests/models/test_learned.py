"""The classifiers: the weights are of the sentences beside them, and probabilities are some."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from array import array
from importlib import resources
from pathlib import Path

import pytest

from microclaw.models.learned import Head, english, features_of, number_features
from microclaw.models.numbers import said_of

SENTENCES = Path(__file__).parents[2] / "scripts" / "sentences"
LABELS = frozenset(
    re.findall(
        r"\w+",
        "on off toggle dim pulse times undo stop blink fade rule thermostat button traffic log sensor level adc apps "
        "app fact devices i2c pins help greeting schedule unclear told dont more other unsafe",
    )
)


def _rows() -> list[tuple[str, int, list[str]]]:
    return [
        (path.name, number, line.split("\t"))
        for path in sorted(SENTENCES.glob("*.tsv"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    ]


def test_weights_are_of_the_sentences_beside_them() -> None:
    """If this fails: run scripts/train_sentences.py (its first lines say how)."""
    digest = hashlib.sha256()
    for path in sorted(SENTENCES.glob("*.tsv")):
        digest.update(path.read_bytes())
    packed = resources.files("microclaw.models") / "intents" / "en" / "learned.zip"
    with packed.open("rb") as file, zipfile.ZipFile(file) as members:
        about = json.loads(members.read("about.json"))
    assert about["sentences"] == digest.hexdigest()


def test_every_sentence_has_a_known_label_and_readable_values() -> None:
    wrong = [
        f"{name}:{number}"
        for name, number, columns in _rows()
        if len(columns) != 3 or columns[0] not in LABELS or not columns[2].strip()
    ]
    assert not wrong


def test_no_sentence_has_two_labels() -> None:
    labels: dict[str, set[str]] = {}
    for _, _, (label, _, text) in _rows():
        labels.setdefault(text.lower().rstrip(".!"), set()).add(label)
    both = {text: found for text, found in labels.items() if len(found) > 1}
    assert len(both) < len(labels) / 500, both


@pytest.mark.parametrize("text", ["turn on pin 4", "", "qwertz", "ß ß ß", "4 " * 60])
def test_probabilities_add_up_to_one(text: str) -> None:
    features = features_of(said_of(text), ())
    for head in english().values():
        likely = head.probabilities(features)
        assert sum(likely.values()) == pytest.approx(1)
        assert set(likely) == set(head.answers)


def test_the_label_is_one_of_those_that_sentences_have() -> None:
    assert set(english()["label"].answers) == LABELS


def test_rows_are_weighed_by_how_rare_a_feature_is() -> None:
    head = Head(
        ["no", "yes"], [0.0, 0.0], {"often": 0, "seldom": 1}, bytes([10, 40]), array("b", [50, -50, -50, 50]), 0.1, 0.05
    )
    alone = head.probabilities({"seldom"})["yes"]
    both = head.probabilities({"seldom", "often"})["yes"]
    assert alone > both == pytest.approx(0.5)
    assert head.probabilities({"unheard of"}) == {"no": 0.5, "yes": 0.5}


def test_a_number_counts_by_its_unit_and_not_by_its_value() -> None:
    assert features_of(said_of("blink pin 4 every 2 s"), ()) == features_of(said_of("blink pin 17 every 900 ms"), ())
    assert features_of(said_of("turn on pin 4"), ()) != features_of(said_of("turn on pin 4?"), ())


def test_a_numbers_features_tell_its_neighbours_and_its_label() -> None:
    features = number_features(said_of("when the button on 7 is pressed, light pin 2"), 0, "button")
    assert {"unit bare", "1 of 2", "label button", "button before on", "after is"} <= features
