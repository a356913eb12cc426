"""Whether what was learned of a sentence suffices to answer it, to ask whether it is meant, or for neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.language.numbers import TaggedText
from microclaw.offline.classifier import Head, features_of, number_features
from microclaw.offline.slot_filling import Kind, SlotInput, values_of

UNSURE_UNITS: Final = frozenset({"pin", "bare", "milli", "ms"})
"""Numbers whose unit alone does not say what they are: those have a role."""
LIKE: Final[Mapping[str, str]] = {
    "on": "set_pin", "off": "set_pin", "toggle": "toggle_pin", "dim": "dim_pin", "pulse": "pulse",
    "times": "blink_times", "undo": "undo", "stop": "remove_app", "blink": "blink", "fade": "fade",
    "rule": "threshold", "thermostat": "thermostat", "button": "button", "traffic": "traffic_light",
    "log": "read_sensor_every",
}  # fmt: skip
"""The kind of sentence that each order comes to."""
ORDERS: Final = frozenset(LIKE)
QUESTIONS: Final = frozenset({"sensor", "level", "adc", "apps", "app", "fact", "devices", "i2c", "pins"})
NOTHING_DONE: Final = frozenset({"unclear", "no_order"})
"""Kinds that ask back, or answer that nothing was done."""
NEVER_LATER: Final = frozenset({"told", "dont", "more", "other", "unsafe"})
"""Labels that no time of day makes an order for later."""
WITH_ROLES: Final = (ORDERS - {"undo"}) | {"level", "adc", "pins"}
# What is asked besides, of sentences of which labels.
ANSWERS: Final[Mapping[str, frozenset[str]]] = {
    "thing": ORDERS - {"undo", "log", "traffic"} | {"level", "pins"},
    "quantity": frozenset({"rule", "thermostat", "log", "sensor"}),
    "quantity_2": frozenset({"log", "sensor"}),
    "side": frozenset({"rule"}),
    "level": frozenset({"rule"}),
    "what": frozenset({"stop", "app"}),
    "field": frozenset({"fact"}),
    "speed": frozenset({"blink", "fade", "log"}),
}

SURE: Final = 0.45
"""From this probability on a question is answered, and of an order it is asked whether it is meant."""
SURE_OF_NO_ORDER: Final = 0.62
SURE_OF_VALUES: Final = 0.7
SURE_OF_A_HINT: Final = 0.9  # of a quantity that no known word names ("is it stuffy in there")
SURE_OF_ROLES: Final = 0.6  # lower, as every number has to fit
HALF_SURE: Final = 0.2  # from here on it is asked back


@dataclass(frozen=True, slots=True)
class Guess:
    """The likeliest label, how likely it is, and the kind and values it comes to (None where they do not fit)."""

    label: str
    probability: float
    kind: Kind | None


def kind_of(guess: Guess) -> Kind | None:
    """The kind and values to go by; "unclear" to ask back, "no_order" for what wants nothing done; None for neither."""
    label, sure = guess.label, guess.probability
    if label in ORDERS:
        if guess.kind is not None and sure >= SURE:
            return guess.kind
        return ("unclear", {"label": label}) if sure >= HALF_SURE else None
    if label in QUESTIONS:
        return guess.kind if sure >= SURE else None
    match label:
        case "unclear" if sure >= HALF_SURE:
            return "unclear", {}
        case "help" | "greeting" if sure >= SURE_OF_NO_ORDER:
            return label, {}
        case "unsafe" if sure >= SURE_OF_NO_ORDER:
            return "unsafe", {"reason": "destroys"}
        case "told" | "dont" | "more":
            return ("no_order", {"label": label}) if sure >= SURE_OF_NO_ORDER else ("unclear", {})
        case _:
            return None


def guess(said: TaggedText, meanings: Sequence[frozenset[str]], heads: Mapping[str, Head]) -> Guess:
    """What the sentence is most likely about. `said`: its normal form; `meanings`: of its words, by the lexicon."""
    features = features_of(said, meanings)
    labels = heads["label"].probabilities(features)
    label = max(labels, key=labels.__getitem__)
    kind = None
    if not said.stray and label in ORDERS | QUESTIONS:
        words = frozenset(tag for tags in meanings for tag in tags)
        answers = {name: _answer(heads[name], features) for name, asked in ANSWERS.items() if label in asked}
        if "quantity" in answers:
            answers["quantity"] = _quantity(heads["quantity"], features, meanings, answers["quantity"])
        roles = [_role(said, at, label, heads["role"]) for at in range(len(said.numbers))]
        kind = values_of(label, SlotInput(said.text, list(zip(said.numbers, roles, strict=True)), answers, words))
    return Guess(label, labels[label], kind)


def _answer(head: Head, features: frozenset[str], at_least: float = SURE_OF_VALUES) -> str | None:
    likely = head.probabilities(features)
    answer = max(likely, key=likely.__getitem__)
    return answer if likely[answer] >= at_least and answer != "none" else None


def _quantity(
    head: Head, features: frozenset[str], meanings: Sequence[frozenset[str]], likely: str | None
) -> str | None:
    """What is measured: the one that is named, else what is likely; without any word for one it must be very likely."""
    named = {tag[2:] for tags in meanings if len(tags) == 1 for tag in tags if tag.startswith("q:")}
    if len(named) == 1 and likely not in named:
        return next(iter(named))
    hinted = any(tag.startswith("q:") for tags in meanings for tag in tags)
    return likely if hinted else _answer(head, features, SURE_OF_A_HINT)


def _role(said: TaggedText, at: int, label: str, head: Head) -> str | None:
    if said.numbers[at].unit not in UNSURE_UNITS:
        return None
    if label not in WITH_ROLES:
        return "none"
    return _answer(head, number_features(said, at, label), SURE_OF_ROLES) or "none"
