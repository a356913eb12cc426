"""The kind and the values of a sentence: from a template that fits all of it, else from the nearest sentence.

Templates (hassil, intents/en/*.toml) are sure. With slips of the keyboard mended their parse is loose, and so is that
of the nearest known sentence (intents/en/near.toml), with the numbers of this one in their places. It acts on nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from microclaw.language.numbers import tag_numbers
from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import When, split_when
from microclaw.offline.decision import Parse, Say, Values

if TYPE_CHECKING:
    from hassil import Intents

MAX_SENTENCE_CHARS = 300
PARSES_KEPT = 64

_TEMPLATES = ("words", "programs", "lights", "now", "manage", "refused")  # help lists the kinds in this order
_WITH_ANY_NAME = frozenset({"remove_app", "app_status"})  # any words at all may be a program's name there
_NO_NAME = re.compile(r"\bpin \d|\b(?:and|but)\b|\bon \w|(?:\S+ ){3}")  # more likely the rest of a sentence
_NEVER_LATER = frozenset({"clock", "list_schedules", "cancel_schedule"})  # the time in them is not when to do them
_POLITE = re.compile(r"^(?:(?:please|can you|could you|would you) )+")
REMINDER = re.compile(r"^remind (?:me|us)\b")
_REMIND_IN = re.compile(r"(?:please )?(remind (?:me|us)) (?:in|after) (\d+) ms\b ?(.*)")
# Words that make another sentence: both have them, or neither has.
_TELLING = re.compile(
    r"\b(?:on|off|high|low|no|not|never|\w+n[’']?t|cannot|without|unless|except|but|or|and|if|when|while|until|before|"
    r"after|again|then|was|were|did|would|should|led|light|humid\w*|damp|temperature|warm|hot|cold|pressure|voltage|"
    r"current|power|pins?|stop|blink|above|below|fade|undo|boards?|programs?|memory|firmware|"
    r"(?<!be )(?<!get )(?<!is )\w+ed)\b"
)
_WORD = re.compile(r"[a-z]{4,}")
_NOT = re.compile(r"\b(?:not?|never|cannot|dont|unless|\w+n['’]t)\b")
_ALIKE = 70
_COMMON = frozenset({"the", "and", "what", "you", "can", "when", "for", "with"})


class Sentences:
    """The English sentences that work without a model, read once from the package's data (hassil is imported here)."""

    def __init__(self) -> None:
        from hassil import Intents, merge_dict

        merged: dict[str, Any] = {}
        for name in _TEMPLATES:
            merge_dict(merged, _data(name))
        near, unsafe = near_sentences(), _data("unsafe")
        intents = merged["intents"]
        answers = {name: kind["answer"] for name, kind in intents.items() if "answer" in kind} | unsafe["answers"]
        self.answers = {name: Say(**answer) for name, answer in answers.items()}
        self.examples = {name: kind["example"] for name, kind in intents.items() if "example" in kind}
        self._intents = Intents.from_dict(merged)
        self._refused = {reason: _one_of(phrases) for reason, phrases in unsafe["dangers"].items()}
        self._filler = _one_of(map(re.escape, sorted(merged["filler"], key=len, reverse=True)))
        self._known = [(tag_numbers(text), meant) for meant, said in near.items() for text in (meant, *said)]
        self._words = frozenset((*_words(merged), *_words(near)))
        self.parse = lru_cache(PARSES_KEPT)(self.parse_anew)  # a turn asks again after each tool

    def parse_anew(self, text: str) -> Parse | None:
        """The sentence's parse, or None when what matters in it is not understood.

        A sentence that names a time of day or a date is a "schedule" whose value "what" is the rest.
        """
        said = normalize_quantities(text) if len(text) <= MAX_SENTENCE_CHARS else ""
        if not said:
            return None
        found = self._templated(said)
        if found is not None and found.kind not in _WITH_ANY_NAME:
            return found
        for reason, phrases in self._refused.items():
            if phrases.search(text.lower()) or phrases.search(said):
                return Parse("unsafe", {"reason": reason}, loose=True)
        if found is not None and not _NO_NAME.search(str(found.values.get("app"))):
            return found
        return self._nearest_parse(text) if split_when(said) is None else None

    def _nearest_parse(self, text: str) -> Parse | None:
        """The loose parse of the known sentence that is most alike, with the numbers of this one."""
        said = tag_numbers(self._mended(self._filler.sub(" ", text.lower())))
        telling = _telling(said.shape)
        alike = {
            number: known.shape
            for number, (known, _) in enumerate(self._known)
            if known.units == said.units and _telling(known.shape) == telling
        }
        from rapidfuzz import fuzz, process  # as in `_mended`

        found = process.extractOne(said.shape, alike, scorer=fuzz.token_sort_ratio, score_cutoff=_ALIKE)
        if found is None or said.stray:
            return None
        parse = self._recognize(tag_numbers(self._known[found[2]][1]).with_numbers(said))
        return replace(parse, loose=True) if parse is not None else None

    def _mended(self, text: str) -> str:
        """The sentence with each unknown word as the known one that alone is a letter away; it is only asked about."""
        from rapidfuzz import process  # 3.5 MB, which a host without a misspelt word does without
        from rapidfuzz.distance import OSA

        def known(match: re.Match[str]) -> str:
            if match[0] in self._words:
                return match[0]
            found = process.extract(match[0], self._words, scorer=OSA.distance, score_cutoff=1, limit=2)
            # A wrong first letter is another word ("delay", "relay") more often than a slip.
            return found[0][0] if len(found) == 1 and found[0][0][0] == match[0][0] else match[0]

        return _WORD.sub(known, text)

    def _templated(self, said: str) -> Parse | None:
        """Read the sentence by a template, as it is spelled; loose where slips of the finger were mended."""
        found = self._timed(said)
        if found is not None:
            return found
        mended = normalize_quantities(self._mended(said))
        found = self._timed(mended) if mended != said else None
        return replace(found, loose=True) if found is not None else None

    def _timed(self, said: str) -> Parse | None:
        """The parse of a sentence, of one that names a time as a schedule."""
        if (remind := _REMIND_IN.fullmatch(said)) is not None:
            what = f"{remind[1]} {remind[3]}".strip()
            return Parse("schedule", {"what": what}, when=When(delay_ms=int(remind[2])))
        timed = split_when(said)
        if timed is None:
            whole = self._recognize(said)
            timed = split_when(said, bare_hour=True) if whole is None else None
            if timed is None:
                return whole
        what, when = _POLITE.sub("", timed[0]), timed[1]
        schedule = Parse("schedule", {"what": what}, when=when)
        if REMINDER.match(what):
            return schedule
        meant = self._recognize(what)
        if meant is None or _of_a_part(meant, said, what):
            return None
        if meant.kind in _NEVER_LATER:
            return replace(meant, when=when) if when.hour is None else None
        return None if meant.kind in _WITH_ANY_NAME and _NOT.search(what) else schedule

    def reference(self, said: str) -> Parse | None:
        """Read a sentence in its normal form about the last act; None where no template of references.toml fits."""
        return self._recognize(said, _references())

    def _recognize(self, said: str, intents: Intents | None = None) -> Parse | None:
        """Read it by a template, politeness left out; as it stands where nothing else was said ("hello")."""
        from hassil import recognize_best

        plain = re.sub(r"\s+", " ", self._filler.sub(" ", said)).strip()
        found = recognize_best(plain, intents or self._intents) if plain else None
        if found is None and plain != said:
            found = recognize_best(said, intents or self._intents)
        if found is None:
            return None
        values: Values = {e.name: _plain(e.value) for e in found.entities_list if not e.name.startswith("_")}
        return Parse(found.intent.name, values)

    def nearest(self, text: str, count: int = 3) -> tuple[str, ...]:
        """The known sentences that look most like this text; none without a word in common or with a "not"."""
        said = frozenset[str]() if _NOT.search(text.lower()) else _stems(text)
        alike = [one for one, stems in self._stems_of_known.items() if not said.isdisjoint(stems)]
        from rapidfuzz import fuzz, process  # as in `_mended`

        found = process.extract(text.lower()[:MAX_SENTENCE_CHARS], alike, scorer=fuzz.token_sort_ratio, limit=count)
        return tuple(example for example, _, _ in found)

    @cached_property
    def _stems_of_known(self) -> Mapping[str, frozenset[str]]:
        examples = (one for kind, one in self.examples.items() if kind != "cancel_schedule")  # no undo brings it back
        sentences = (*(meant for _, meant in self._known), *examples)
        known = {re.sub(r"\d+", "1", one): one for one in sentences}  # each once, whatever its pin
        return {one: _stems(one) for one in known.values()}


def _of_a_part(meant: Parse, said: str, what: str) -> bool:
    """True if the time may be of a part alone: "turn on pin 4 and pin 5 off in 3 s", "stop the 7 o'clock alarm"."""
    if meant.kind == "remove_app":
        return what not in said
    return "level_2" in meant.values and said.split()[0] == what.split()[0]


@cache
def english() -> Sentences:
    return Sentences()


@cache
def _references() -> Intents:
    """The templates of what refers to the last act, read at the first such sentence."""
    from hassil import Intents, merge_dict

    merged = _data("words")
    merge_dict(merged, _data("references"))
    return Intents.from_dict(merged)


def near_sentences() -> Mapping[str, Sequence[str]]:
    """Sentences of people, by the sentence of a template that is meant."""
    near: Mapping[str, Sequence[str]] = _data("near")["near"]
    return near


def _data(name: str) -> dict[str, Any]:
    folder = resources.files(__package__) / "intents" / "en"
    return tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))


def _one_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w'-])(?:{'|'.join(patterns)})(?![\w'-])")


def _words(value: Any) -> Iterator[str]:
    """Every word of the sentences' data; what stands in braces or angles is a name, no word."""
    match value:
        case str():
            yield from _WORD.findall(re.sub(r"\{[^}]*\}|<[^>]*>", " ", value))
        case dict():
            for part in value.items():
                yield from _words(part)
        case list() | tuple():
            for part in value:
                yield from _words(part)


def _telling(shape: str) -> frozenset[str]:
    return frozenset(_TELLING.findall(shape.replace(" on PIN", " PIN")))


def _plain(value: object) -> int | str | bool:
    """hassil gives every number as a float."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return int(value)
    return str(value).strip()


def _stems(text: str) -> frozenset[str]:
    found = re.findall(r"[a-z]{3,}", normalize_quantities(text[:MAX_SENTENCE_CHARS]))
    return frozenset(word.removesuffix("ing").removesuffix("s") for word in found if word not in _COMMON)
