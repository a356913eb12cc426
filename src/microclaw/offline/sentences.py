"""The kind and the values of a sentence from a template that fits all of it; and the sentences nearest to any other.

Templates (hassil, intents/en/*.toml) are sure. What fits none is compared with the known sentences (also
intents/en/near.toml), and gets back the nearest ones with its own numbers in their places. It acts on nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, convert
from msgspec.structs import replace

from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import split_when
from microclaw.offline.decision import Parse, Quantity, Say

if TYPE_CHECKING:
    from hassil import Intents

MAX_SENTENCE_CHARS = 300

_TEMPLATES = ("words", "programs", "lights", "now", "manage", "refused", "near", "unsafe")  # help has this order, too
_WITH_ANY_NAME = frozenset({"remove_app", "app_status", "switch_app"})  # any words at all may be a program's name there
_NO_NAME = re.compile(r"\bpin \d|\b(?:and|but)\b|\bon \w|(?:\S+ ){3}")  # more likely the rest of a sentence
_NEVER_SUGGESTED = frozenset({"schedule", "cancel_schedule", "remember", "recall", "forget"})  # no undo brings back all
_NEVER_LATER = frozenset({"clock", "list_schedules", "cancel_schedule"})  # the time in them is not when to do them
_POLITE = re.compile(r"^(?:(?:please|can you|could you|would you) )+")
REMINDER = re.compile(r"^remind (?:me|us)\b")
_NUMBER = re.compile(
    r"\b(?:once|twice|thrice)\b|(?:\b(?P<before>pin|clock|plusminus|period|every|each) (?!-))?(?<![\w.])-?\d+(?:\.\d+)?"
    r"(?: (?P<after>ms|ns|milli(?: (?:degrees|percent|volts|amps|hpa|watts))?|times?|quarters?)\b)?(?!\w|\.\d)"
)
_NAMES = re.compile(r"\b(?:i2c|esp32[\w-]*|bme280|ina219|co2|3v3|mp3)(?![\w.])")  # no numbers, though with digits
_NOT = re.compile(r"\b(?:not?|never|cannot|dont|unless|\w+n['’]t)\b")
# percent: it may be meant; it may be suggested; it speaks of such things
_SURE = 70
_ALIKE = 55
_REMOTE = 45


class Nearest(NamedTuple):
    """At most three known sentences that look most like a text, with its numbers.

    `is_same`: the first one has the same words that matter and the same numbers. `is_remote`: none is near it at all.
    """

    sentences: tuple[str, ...] = ()
    is_same: bool = False
    is_remote: bool = True


class Sentences:
    """The English sentences that work without a model, read once from the package's data (hassil is imported here)."""

    def __init__(self) -> None:
        from hassil import Intents

        merged = _data(_TEMPLATES)
        about_last_act = _data(("words", "references"))
        intents = merged["intents"]
        answers = {name: kind["answer"] for name, kind in intents.items() if "answer" in kind} | merged["answers"]
        self.answers = {name: Say(**answer) for name, answer in answers.items()}
        self.examples = {name: kind["example"] for name, kind in intents.items() if "example" in kind}
        told = "".join(f"\n  {example}" for example in self.examples.values())
        text = f"Without a model I know {len(self.examples)} kinds of sentence, in many wordings:{told}"
        self.answers["help"] = Say(text, next_step=merged["after_an_act"])
        self.paces: Mapping[str, Sequence[int]] = {n: k["paces_ms"] for n, k in intents.items() if "paces_ms" in k}
        self.quantities = convert(merged["quantities"], dict[str, Quantity])
        self.colors: Mapping[str, tuple[int, int, int]] = merged["colors"]
        self._intents = Intents.from_dict(merged)
        self._references = Intents.from_dict(about_last_act)
        self._refused = {reason: _one_of(phrases) for reason, phrases in merged["dangers"].items()}
        self._filler = _one_of(map(re.escape, sorted(merged["filler"], key=len, reverse=True)))
        self._telling = re.compile(rf"\b(?:{'|'.join(merged['telling'])})\b")  # also in "turned-off"
        known: dict[str, str] = {}
        for sentence, variants in merged["near"].items():
            known |= dict.fromkeys((sentence, *variants), sentence)
        for kind, example in self.examples.items():
            if kind not in _NEVER_SUGGESTED:
                known[example] = example
        self._known = [(_tag_numbers(text), _tag_numbers(meant)) for text, meant in known.items()]
        self.parse = lru_cache(64)(self.parse_anew)  # a turn asks again after each tool

    def parse_anew(self, text: str) -> Parse | None:
        """Parse a sentence. Return None if a part that matters is not understood.

        A sentence that names a time of day or a date is a "schedule" whose value "what" is the rest.
        """
        said = normalize_quantities(text) if len(text) <= MAX_SENTENCE_CHARS else ""
        if not said:
            return None
        found = self._timed(said)
        if found is not None and found.kind not in _WITH_ANY_NAME:
            return found
        for reason, phrases in self._refused.items():
            if phrases.search(text.lower()) or phrases.search(said):
                return Parse("unsafe", {"reason": reason})
        return None if found is None or _NO_NAME.search(str(found.values.get("app"))) else found

    def _timed(self, said: str) -> Parse | None:
        """Parse a sentence; a sentence that names a time becomes a schedule."""
        timed = split_when(said)
        if timed is None:
            whole = self._recognize(said)
            is_clear = whole is not None and whole.kind not in _WITH_ANY_NAME
            if not is_clear:
                timed = split_when(said, bare_hour=True)
            if timed is None:
                return whole
        what = _POLITE.sub("", timed[0])
        when = timed[1]
        schedule = Parse("schedule", {"what": what}, when=when)
        if REMINDER.match(what):
            return schedule
        meant = self._recognize(what)
        if meant is None or ("level_2" in meant.values and said.split()[0] == what.split()[0]):
            return None  # it may be of a part alone: "turn on pin 4 and pin 5 off in 3 s"
        if meant.kind == "remove_app" and what not in said:
            return None  # "stop the 7 o'clock alarm"
        if meant.kind in _NEVER_LATER:
            if when.hour is None:
                return replace(meant, when=when)
            return None
        return None if meant.kind in _WITH_ANY_NAME and _NOT.search(what) else schedule

    def reference(self, said: str) -> Parse | None:
        """Parse a sentence in its normal form about the last act. Return None if no template fits (references.toml)."""
        return self._recognize(said, self._references)

    def _recognize(self, said: str, intents: Intents | None = None) -> Parse | None:
        """Parse a sentence by a template, first without its polite words, then as it stands ("hello")."""
        from hassil import recognize_best

        plain = re.sub(r"\s+", " ", self._filler.sub(" ", said)).strip()
        found = recognize_best(plain, intents or self._intents) if plain else None
        if found is None and plain != said:
            found = recognize_best(said, intents or self._intents)
        if found is None:
            return None
        given = ((slot.name, slot.value) for slot in found.entities_list if not slot.name.startswith("_"))
        # hassil's numbers are floats, and its words have spaces around them.
        values = {name: value.strip() if isinstance(value, str) else int(value) for name, value in given}
        return Parse(found.intent.name, values)

    def nearest(self, text: str) -> Nearest:
        """Return the known sentences that look most like this text; none for a text with a "not"."""
        from rapidfuzz import fuzz, process  # 3.5 MB, which a host that is understood does without

        said = _tag_numbers(self._filler.sub(" ", text.lower()[:MAX_SENTENCE_CHARS]))
        shapes = [known.shape for known, _ in self._known]
        found = process.extract(said.shape, shapes, scorer=fuzz.token_sort_ratio, score_cutoff=_REMOTE, limit=20)
        alike = [(score, *self._known[at]) for _, score, at in found if score >= _ALIKE]
        if _NOT.search(text.lower()):
            return Nearest(is_remote=not found)
        has_stray_digits = re.search(r"\d", _NAMES.sub("", said.shape)) is not None  # "4x4"
        is_clear = not has_stray_digits and split_when(normalize_quantities(text)) is None
        for score, known, meant in alike:
            is_same = known.units == said.units and self._told(known) == self._told(said)
            sentence = _readable(meant.with_numbers(said))
            is_sure = score >= _SURE and is_same and is_clear
            if is_sure and self.parse(sentence) is not None:
                return Nearest((sentence,), is_same=True, is_remote=False)
        meanings = sorted((meant for *_, meant in alike[:9]), key=lambda meant: not set(meant.units) <= set(said.units))
        sentences = dict.fromkeys(_readable(meant.with_numbers(said)) for meant in meanings)
        return Nearest(tuple(sentences)[:3], is_remote=not found)

    def _told(self, text: _TaggedText) -> frozenset[str]:
        return frozenset(self._telling.findall(text.shape.replace(" on PIN", " PIN")))


class _TaggedText(Struct, frozen=True):
    """A sentence in its normal form with each number's unit in capitals in its place, and the numbers in order.

    A unit is the word before or after the number: PIN, EVERY, MS, DEGREES; NUMBER where there is none.
    """

    shape: str
    numbers: tuple[tuple[str, str], ...]

    @property
    def units(self) -> list[str]:
        return sorted(unit for unit, _ in self.numbers)

    def with_numbers(self, other: _TaggedText) -> str:
        """Return the sentence with the numbers of another, and with its own if the other has none of the unit."""
        left = list(other.numbers)
        own = iter(self.numbers)

        def number(_: re.Match[str]) -> str:
            mine = next(own)
            found = next((one for one in left if one[0] == mine[0]), mine)
            if found in left:
                left.remove(found)
            return found[1]

        return re.sub("[A-Z]+", number, self.shape)


def _tag_numbers(text: str) -> _TaggedText:
    """Return the normal form of a typed sentence, with its numbers."""
    found: list[tuple[str, str]] = []

    def tagged(match: re.Match[str]) -> str:
        unit = match["before"] or (match["after"] or ("number" if match[0][-1].isdigit() else "times")).split()[-1]
        found.append(({"each": "every", "time": "times"}.get(unit, unit).upper(), match[0]))
        return found[-1][0]

    shape = _NUMBER.sub(tagged, normalize_quantities(text))
    return _TaggedText(shape, tuple(found))


def _readable(normal: str) -> str:
    """Write thousandths, periods and lists of pins of a normal form as people write them."""
    said = re.sub(r"(-?\d+) milli\b", lambda m: f"{int(m[1]) / 1000:g}", normal).replace(" also pin ", " and ")
    said = re.sub(r"period ([1-9]\d*) ([mn])s", lambda m: f"{(1000 if m[2] == 'm' else 1e9) / int(m[1]):g} Hz", said)
    return said.replace(" percent", "%")


@cache
def english() -> Sentences:
    return Sentences()


def _data(names: Iterable[str]) -> dict[str, Any]:
    from hassil import merge_dict

    folder = resources.files(__package__) / "intents" / "en"
    merged = dict[str, Any]()
    for name in names:
        merge_dict(merged, tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8")))
    return merged


def _one_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w'-])(?:{'|'.join(patterns)})(?![\w'-])")
