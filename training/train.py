"""Learn from training/sentences/*.tsv what sentences are about, and write the weights that offline/classifier.py reads.

README.md beside this says how. It decides nothing about a sentence: it only trains.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import random
import re
import zipfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import scipy.sparse as sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from training.corpus import ABOUT, WEIGHTS, Example, digest, read_examples

from microclaw.language.numbers import Number
from microclaw.offline.classifier import Head, number_features
from microclaw.offline.confidence import ORDERS, UNSURE_UNITS, WITH_ROLES
from microclaw.offline.sentences import english

LEAST_SEEN = 2  # a feature of one sentence alone teaches nothing
MOST_FEATURES = 12_000
LEAST_WEIGHT = 0.1
RARITY_STEP = 0.02
NEGATIONS = tuple("not|no|never|don't|do not|won't|can't|cannot|must not|unless|dont|without".split("|"))  # noqa: SIM905
_NEGATED = re.compile(
    r"\b(?:not|no|never|none|nothing|nobody|neither|nor|without|avoid|refrain|except|unless|instead|cannot|"
    r"(?:do|does|did|is|are|was|were|ca|wo|would|could|should|must|need|have|has|had|ai|sha|might)n'?t|cant|wont|dont|"
    r"nicht|nein|niet|geen|kein\w*|ikke|inte|dinna\w*|divvent)\b|[❌🚫⛔]"
)
STRENGTH = 40.0  # inverse of the regularisation


Question = Callable[[Example], str | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leave-one-out", nargs="*", metavar="FILE", help="score these files (all: none named)")
    arguments = parser.parse_args()
    examples = list(read_examples())
    if arguments.leave_one_out is not None:
        leave_one_out(examples, arguments.leave_one_out)
        return
    write(train(examples))
    print(f"{len(examples)} sentences, {WEIGHTS.stat().st_size:,} bytes")


def write(heads: Mapping[str, Head]) -> None:
    """The heads as classifier.learned_heads reads them, with the digest of what they depend on."""
    about = {
        name: {"answers": head.answers, "bias": head.bias, "step": head.step, "rarity_step": head.rarity_step}
        for name, head in heads.items()
    }
    with zipfile.ZipFile(WEIGHTS, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as members:
        for name, head in heads.items():
            _add(members, f"{name}.features", "\n".join(head.features).encode())
            _add(members, f"{name}.rarities", head.rarities)
            _add(members, f"{name}.weights", head.weights.tobytes())
    with zipfile.ZipFile(WEIGHTS) as members:
        found = digest(members)
    with zipfile.ZipFile(WEIGHTS, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as members:
        _add(members, ABOUT, json.dumps({"digest": found, "heads": about}, indent=1).encode())


def _add(members: zipfile.ZipFile, name: str, data: bytes) -> None:
    members.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)  # of no date: the same data, the same file


def negated(examples: Sequence[Example]) -> Iterator[Example]:
    """Orders with a "not" put into them somewhere: a few of each, so that it weighs wherever it stands."""
    sentences = english()
    chance = random.Random(1)
    orders = [e for e in examples if e.label in ORDERS and not _NEGATED.search(re.sub("[’‘´`]", "'", e.text.lower()))]
    for e in chance.sample(orders, len(orders) // 10):
        words = e.text.split(" ")
        at = chance.randrange(len(words) + 1)
        text = " ".join([*words[:at], chance.choice(NEGATIONS), *words[at:]])
        yield Example(e.source, "dont", {}, text, *sentences.features(text))


def train(examples: Sequence[Example]) -> dict[str, Head]:
    examples = [*examples, *negated(examples)]
    heads = {name: fit([(e.features, answer) for e in examples if (answer := question(e)) is not None])
             for name, question in QUESTIONS.items()}  # fmt: skip
    return heads | {"role": fit(list(roles(examples)))}


def _answer(key: str, *labels: str, otherwise: str = "none") -> Question:
    def answer(e: Example) -> str | None:
        return e.values.get(key, otherwise).split(",")[0] if e.label in labels else None

    return answer


_TARGETS = ORDERS - {"undo", "log", "traffic"} | {"level", "pins"}


def _thing(e: Example) -> str | None:
    if e.label not in _TARGETS:
        return None
    return "led" if "led" in e.values else "pin" if "pin" in e.values else "other"


def _second(e: Example) -> str | None:
    named = e.values.get("quantity", "").split(",")
    return (named[1] if len(named) > 1 else "none") if e.label in ("log", "sensor") else None


def _speed(e: Example) -> str | None:
    if e.label not in ("blink", "fade", "log"):
        return None
    return next((speed for speed in ("fast", "slow") if speed in e.values), "none")


def _what(e: Example) -> str | None:
    if e.label not in ("stop", "app"):
        return None
    what = e.values.get("what", "none")
    return what if what in ("blink", "fade", "thermostat", "traffic", "all", "it", "none") else "name"


QUESTIONS: dict[str, Question] = {
    "label": lambda e: e.label,
    "thing": _thing,
    "quantity": _answer("quantity", "rule", "thermostat", "log", "sensor"),
    "quantity_2": _second,
    "side": _answer("side", "rule"),
    "level": _answer("level", "rule", otherwise="1"),
    "what": _what,
    "field": _answer("field", "fact"),
    "speed": _speed,
}


def roles(examples: Iterable[Example]) -> Iterator[tuple[frozenset[str], str]]:
    """What each number of a sentence was, by the values that its author gave."""
    for e in examples:
        if e.label not in WITH_ROLES:
            continue
        for at, number in enumerate(e.said.numbers):
            if number.unit in UNSURE_UNITS:
                yield number_features(e.said, at, e.label), role_of(e, number)


def role_of(e: Example, number: Number) -> str:
    if number.unit == "ms":
        told = {key: float(e.values[key]) for key in ("period_ms", "ms", "for_ms") if e.values.get(key)}
        return next((role for role, keys in (("pace", ("period_ms",)), ("lasting", ("ms", "for_ms")))
                     for key in keys if told.get(key) in (number.value, 2 * number.value)), "none")  # fmt: skip
    value = number.value / 1000 if number.unit == "milli" else number.value
    pins = {int(p) for p in e.values.get("pin", "").split(",") if p.isdigit()}
    if value in pins:
        return "pin"
    if e.values.get("button") == f"{value:g}":
        return "button"
    for role in ("limit", "percent", "times"):
        if e.values.get(role) and float(e.values[role]) == value:
            return role
    if e.label in ("on", "off") and value == (e.label == "on"):
        return "level"
    return "none"


def fit(rows: Sequence[tuple[frozenset[str], str]]) -> Head:
    """A head for these features and answers, with the features that tell most."""
    seen = collections.Counter(feature for features, _ in rows for feature in features)
    rarity = {
        feature: round(math.sqrt(math.log(len(rows) / count)) / RARITY_STEP)
        for feature, count in seen.items()
        if count >= LEAST_SEEN
    }
    names = sorted(feature for feature, rare in rarity.items() if rare > 0)
    model = _fitted(rows, names, rarity)
    if len(names) > MOST_FEATURES:
        telling = np.abs(model.coef_).max(axis=0) * np.sqrt([seen[name] for name in names])
        names = sorted(names[n] for n in np.argsort(-telling)[:MOST_FEATURES])
        model = _fitted(rows, names, rarity)
    two = len(model.classes_) == 2
    coefficients = np.vstack([-model.coef_[0] / 2, model.coef_[0] / 2]) if two else model.coef_
    bias = np.array([-model.intercept_[0] / 2, model.intercept_[0] / 2]) if two else model.intercept_
    told = (coefficients * [rarity[name] * RARITY_STEP for name in names]).T
    step = float(np.abs(told).max()) / 127
    units = np.rint(np.where(np.abs(told) < LEAST_WEIGHT, 0, told) / step).astype(np.int8)
    kept = [n for n, row in enumerate(units) if row.any()]
    return Head(
        [str(name) for name in model.classes_],
        [round(float(b), 4) for b in bias],
        {names[n]: row for row, n in enumerate(kept)},
        bytes(rarity[names[n]] for n in kept),
        array("b", units[kept].tobytes()),
        float(f"{step:.6g}"),  # further digits depend on the machine
        RARITY_STEP,
    )


def _fitted(
    rows: Sequence[tuple[frozenset[str], str]], names: Sequence[str], rarity: Mapping[str, int]
) -> LogisticRegression:
    column = {name: n for n, name in enumerate(names)}
    places = [(n, f) for n, (features, _) in enumerate(rows) for f in features if f in column]
    matrix = sparse.csr_matrix(
        ([rarity[f] * RARITY_STEP for _, f in places], ([n for n, _ in places], [column[f] for _, f in places])),
        shape=(len(rows), len(names)),
    )
    return LogisticRegression(C=STRENGTH, max_iter=300, tol=1e-3).fit(normalize(matrix), [answer for _, answer in rows])


def leave_one_out(examples: Sequence[Example], sources: Sequence[str]) -> None:
    for source in sources or sorted({e.source for e in examples}):
        label = train([e for e in examples if e.source != source])["label"]
        mine = [e for e in examples if e.source == source]
        likely = [label.probabilities(e.features) for e in mine]
        right = sum(max(found, key=found.__getitem__) == e.label for e, found in zip(mine, likely, strict=True))
        print(f"{source:<14}{len(mine):>6} sentences {100 * right / len(mine):6.1f} % of the labels right", flush=True)


if __name__ == "__main__":
    main()
