"""Whether what was learned of a sentence suffices to act on it, to answer it, to ask back, or for nothing of these."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.models.asked import Kind
from microclaw.models.frames import Bag
from microclaw.models.learned import Head, features_of, number_features
from microclaw.models.numbers import Number
from microclaw.models.slots import Told, values_of

UNSURE_UNITS: Final = frozenset({"pin", "bare", "milli", "ms"})
"""Numbers whose unit alone does not say what they are: those have a role."""
ORDERS: Final = frozenset(
    {"on", "off", "toggle", "dim", "pulse", "times", "undo", "stop", "blink", "fade"}
    | {"rule", "thermostat", "button", "traffic", "log"}
)
QUESTIONS: Final = frozenset({"sensor", "level", "adc", "apps", "app", "fact", "devices", "i2c", "pins"})
LIKE: Final[Mapping[str, str]] = {
    "on": "set_pin", "off": "set_pin", "toggle": "toggle_pin", "dim": "dim_pin", "pulse": "pulse", "times": "blink_times",
    "undo": "undo", "stop": "remove_app", "blink": "blink", "fade": "fade", "rule": "threshold",
    "thermostat": "thermostat", "button": "button", "traffic": "traffic_light", "log": "read_sensor_every",
}  # fmt: skip
"""The kind of sentence that each order comes to."""
NOTHING_DONE: Final = frozenset({"unclear", "no_order"})
"""Kinds that ask back, or answer that nothing was done."""
WITH_ROLES: Final = (ORDERS - {"undo"}) | {"level", "adc", "pins"}
# What is asked besides, of sentences of which labels.
ANSWERS: Final[Mapping[str, frozenset[str]]] = {
    "thing": ORDERS - {"undo", "log", "traffic"} | {"level", "pins"},
    "quantity": frozenset({"rule", "thermostat", "log", "sensor"}),
    "side": frozenset({"rule"}),
    "level": frozenset({"rule"}),
    "what": frozenset({"stop", "app"}),
    "field": frozenset({"fact"}),
    "speed": frozenset({"blink", "fade", "log"}),
}

SURE: Final = 0.55
"""From this probability on an order is carried out and a question answered."""
SURE_DESPITE_NOT: Final = 0.93  # "I don't need pin 35 any more, so switch it off"
SURE_OF_VALUES: Final = 0.7
HALF_SURE: Final = 0.35  # from here on it is asked back
_POLITE: Final = re.compile(
    r"\b(?:could|can|can't|would|wouldn't|will|won't|please|plz|pls|mind|how about|any chance|may i|may we|might|kindly|"
    r"let's|why not|why don't|shall we|possible)\b"
)


@dataclass(frozen=True, slots=True)
class Guess:
    """The likeliest label, how likely it is, and the kind and values it comes to (None where they do not fit)."""

    label: str
    probability: float
    kind: Kind | None


def reading_of(guess: Guess, text: str, *, negated: bool = False) -> Kind | None:
    """The kind and values to go by; "unclear" to ask back, "no_order" for what wants nothing done; None for neither."""
    label, sure = guess.label, guess.probability
    if label in ORDERS:
        asked = text.rstrip().endswith("?") and _POLITE.search(text.lower()) is None
        if guess.kind is not None and sure >= (SURE_DESPITE_NOT if negated else SURE) and not asked:
            return guess.kind
        if asked and label in ("on", "off") and guess.kind is not None and sure >= SURE:
            return "read_pin", {name: value for name, value in guess.kind[1].items() if name != "level"}
        return ("unclear", {"label": label}) if sure >= HALF_SURE and not negated else None
    if label in QUESTIONS:
        return guess.kind if sure >= SURE else None
    match label:
        case "unclear" if sure >= HALF_SURE:
            return "unclear", {}
        case "help" | "greeting" if sure >= SURE:
            return label, {}
        case "unsafe" if sure >= SURE:
            return "unsafe", {"reason": "destroys"}
        case "told" | "dont" | "more" if sure >= SURE:
            return "no_order", {"label": label}
        case _:
            return None


def guess(said: str, numbers: Sequence[Number] | None, bag: Bag | None, heads: Mapping[str, Head]) -> Guess:
    """What the sentence is most likely about. `said` is normalized; `numbers` and `bag` are of the same text."""
    features = features_of(said, numbers or (), bag)
    labels = heads["label"].probabilities(features)
    label = max(labels, key=labels.__getitem__)
    kind = None
    if numbers is not None and label in ORDERS | QUESTIONS:
        answers = {name: _answer(heads[name], features) for name, asked in ANSWERS.items() if label in asked}
        roles = [_role(said, numbers, at, label, heads["role"]) for at in range(len(numbers))]
        words = frozenset(tag for part in bag.parts for tag in part.tags) if bag is not None else frozenset()
        kind = values_of(label, Told(said, list(zip(numbers, roles, strict=True)), answers, words))
    return Guess(label, labels[label], kind)


def _answer(head: Head, features: frozenset[str]) -> str | None:
    likely = head.probabilities(features)
    answer = max(likely, key=likely.__getitem__)
    return answer if likely[answer] >= SURE_OF_VALUES and answer != "none" else None


def _role(said: str, numbers: Sequence[Number], at: int, label: str, head: Head) -> str | None:
    if numbers[at].unit not in UNSURE_UNITS:
        return None
    if label not in WITH_ROLES:
        return "none"
    likely = head.probabilities(number_features(said, numbers, at, label))
    role = max(likely, key=likely.__getitem__)
    return role if likely[role] >= SURE_OF_VALUES else "none"
