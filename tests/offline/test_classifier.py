"""The classifiers: weights, sentences and features belong together, and probabilities are some."""

from __future__ import annotations

import json
import re
import zipfile
from array import array
from importlib import resources

import pytest
from training.corpus import ABOUT, SENTENCES, digest

from microclaw.language.numbers import tag_numbers
from microclaw.offline.classifier import Head, features_of, learned_heads, number_features

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


def test_weights_sentences_and_features_belong_together() -> None:
    """If this fails, what the classifiers are told differs from what they learned: see training/README.md."""
    packed = resources.files("microclaw.offline") / "intents" / "en" / "weights.zip"
    with packed.open("rb") as file, zipfile.ZipFile(file) as members:
        assert json.loads(members.read(ABOUT))["digest"] == digest(members)


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
    features = features_of(tag_numbers(text), ())
    for head in learned_heads().values():
        likely = head.probabilities(features)
        assert sum(likely.values()) == pytest.approx(1)
        assert set(likely) == set(head.answers)


def test_the_label_is_one_of_those_that_sentences_have() -> None:
    assert set(learned_heads()["label"].answers) == LABELS


def test_rows_are_weighed_by_how_rare_a_feature_is() -> None:
    head = Head(
        ["no", "yes"], [0.0, 0.0], {"often": 0, "seldom": 1}, bytes([10, 40]), array("b", [50, -50, -50, 50]), 0.1, 0.05
    )
    alone = head.probabilities({"seldom"})["yes"]
    both = head.probabilities({"seldom", "often"})["yes"]
    assert alone > both == pytest.approx(0.5)
    assert head.probabilities({"unheard of"}) == {"no": 0.5, "yes": 0.5}


def test_a_number_counts_by_its_unit_and_not_by_its_value() -> None:
    assert features_of(tag_numbers("blink pin 4 every 2 s"), ()) == features_of(
        tag_numbers("blink pin 17 every 900 ms"), ()
    )
    assert features_of(tag_numbers("turn on pin 4"), ()) != features_of(tag_numbers("turn on pin 4?"), ())


def test_a_numbers_features_tell_its_neighbours_and_its_label() -> None:
    features = number_features(tag_numbers("when the button on 7 is pressed, light pin 2"), 0, "button")
    assert {"unit bare", "1 of 2", "label button", "button before on", "after is"} <= features
