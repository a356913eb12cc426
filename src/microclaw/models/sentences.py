"""Which kind of sentence was said, and its values: by a template that fits the whole of it, else by what was learned.

Templates (hassil, intents/en/*.toml) are for sentences in the words of the manual; they are sure of what they read. All
other sentences go to the classifiers (learned.py), which may be more or less sure. Acts on nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from microclaw.models import learned
from microclaw.models.dangers import Dangers
from microclaw.models.levels import levels_of
from microclaw.models.lexicon import Lexicon
from microclaw.models.likely import NEVER_LATER, NOTHING_DONE, Guess, guess, reading_of
from microclaw.models.numbers import Said, said_of
from microclaw.models.quantities import NUMBER_WORDS, QUANTITY_WORDS, normalize_quantities
from microclaw.models.spelling import Spelling
from microclaw.models.times_of_day import When, split_when

if TYPE_CHECKING:
    from hassil import Intents

MAX_SENTENCE_CHARS = 300
READINGS_KEPT = 64

_TEMPLATES = ("words", "programs", "now", "manage", "refused")  # help lists the kinds in this order
_WITH_ANY_NAME = frozenset({"remove_app", "app_status"})  # any words at all may be a program's name there
_NO_NAME = re.compile(r"\bpin \d|\bbut\b|(?:\S+ ){3}")  # the rest of a sentence, more likely than a program's name
_REMINDER = re.compile(r"^(?:remind|wake|alert|notify|warn|call) (?:me|us)\b")
_NO_MORE = re.compile(
    r"(?i)^\s*(?:please )?(?:do not|don[’']?t) (\w+(?: (?:on )?(?:the led|(?:pin|gpio) ?\d+))?),? "
    r"(?:anymore|any more|any longer)"
    r"(?:,? please)?[\s.!]*$"
)
_DECISIVE = NUMBER_WORDS | {"off", "low", "high", "not", "never", "dont", "without", "except"}
_CLAUSE_ENDS = re.compile(r"[,;:.!?]+ +(?!\d)| +[-–—] +| +(?:so|but|and|because|since|cos|cause) +", re.I)
_HARMLESS_NOT = re.compile(
    r"\b(?:(?:and |but )?(?:no|not|nothing) (?:longer|more)|no less|not less|nothing else|not too \w+|no matter|"
    r"no rush|no hurry|if you (?:don'?t|do not) mind|(?:don'?t|do not) worry|not (?:to|too) bright|"
    r"if it(?:'s| is) not too much trouble|"
    r"without (?:an? |any )?(?:stop|stopping|end|ending|pause|pausing|break|interruption|ever stopping))\b",
    re.I,
)
_ASKING = frozenset(
    {"read_sensor", "read_pin", "read_adc", "list_apps", "app_status", "device_info", "device_status", "list_devices"}
    | {"scan_i2c", "pin_facts", "help", "greeting", "unsafe", *NOTHING_DONE}
)
# Words on their own, one slip away from others.
_NO_SLIPS = frozenset({"prevent", "teach", "leave", "left", "heat", "lamb", "clean", "learn", "steam"})
_SHORT_NUMBERS = frozenset({"one", "two", "six", "ten", "four", "five", "nine"})  # a slip of one is another
_COMMON = frozenset({"pin", "you", "can", "turn", "when", "for", "with"})  # in examples of every kind
_NEGATIONS = re.compile(
    r"\b(?:not|no|never|none|nothing|nobody|neither|nor|without|avoid|refrain|except|unless|instead|cannot|"
    r"(?:do|does|did|is|are|was|were|ca|wo|would|could|should|must|need|have|has|had|ai|sha|might)n'?t|cant|wont|dont|"
    r"nicht|nein|niet|geen|kein\w*|ikke|inte|dinna\w*|divvent)\b|[❌🚫⛔]"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A sentence understood: its kind and its values (whole numbers, words)."""

    kind: str
    values: Mapping[str, int | str | bool]
    loose: bool = False  # no template fits it: this is what it is likely to mean

    def number(self, name: str) -> int | None:
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def word(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None


class Sentences:
    """The sentences of one language that work without a model."""

    def __init__(
        self,
        intents: Intents,
        examples: Mapping[str, str],
        filler: Sequence[str],
        lexicon: Lexicon,
        dangers: Dangers,
        spelling: Spelling,
    ) -> None:
        self._intents = intents
        self._lexicon = lexicon
        self._dangers = dangers
        self.examples = examples
        self._filler = _one_of(filler)
        self._spelling = spelling
        self._mending = cache(lambda: spelling.with_words(learned.words(learned.english())))
        self.read = lru_cache(READINGS_KEPT)(self.read_anew)  # a turn asks again after each tool
        self.likely = lru_cache(READINGS_KEPT)(self._likely)  # and so does each way to read a sentence

    def read_anew(self, text: str) -> Reading | None:
        """The reading of the sentence, or None when what matters in it is not understood.

        A sentence that names a time of day or a date is a "schedule" whose value "what" is the rest. One of the kinds
        NOTHING_DONE is understood so far that there is something to ask, or nothing to do.
        """
        if len(text) > MAX_SENTENCE_CHARS:
            return None
        said = normalize_quantities(text)
        if not said:
            return None
        found = self._templated(said)
        if found is None or found.kind in _WITH_ANY_NAME:
            each = levels_of(said_of(text))
            guessed = self.guess(text) if each is None else Reading(*each)
            if found is None or each is not None:
                return guessed
            if guessed is not None and guessed.kind not in {"greeting", *_WITH_ANY_NAME}:
                return guessed
            if guessed is not None and guessed.word("app") and " " in str(found.values.get("app")):
                return guessed
            if guessed is None and _NO_NAME.search(str(found.values.get("app"))):
                return None
        return found

    def guess(self, text: str) -> Reading | None:
        """The likeliest reading by what was learned of other sentences, where it is likely enough.

        An order with a "not" beside it has to stand by itself in the clauses that have none.
        """
        reason = self._dangers.reason(text.lower()) or self._dangers.reason(normalize_quantities(text))
        if reason is not None:
            return Reading("unsafe", {"reason": reason}, loose=True)
        found = self._guess(text)
        plain = without_negated(text)
        if found is None or plain == text or found.kind in _ASKING:
            return found
        alone = self._guess(plain) if plain else None
        return found if alone is not None and (alone.kind, alone.values) == (found.kind, found.values) else None

    def _guess(self, text: str) -> Reading | None:
        found = self.likely(text)
        timed = split_when(normalize_quantities(text))
        if timed is None or found.label in NEVER_LATER:
            kind = reading_of(found)
            return Reading(*kind, loose=True) if kind is not None else None
        what, when = timed
        kind = reading_of(self.likely(what))
        if kind is None or kind[0] in NOTHING_DONE:
            return None
        return Reading("schedule", {"what": what} | _told(when), loose=True)

    def _likely(self, text: str) -> Guess:
        """What the sentence is most likely about, of its first MAX_SENTENCE_CHARS."""
        text = text[:MAX_SENTENCE_CHARS]
        mended = self._mending().mend(text.lower())
        said = said_of(mended)
        if self._mending().is_near(mended, _DECISIVE):
            said = dataclasses.replace(said, stray=True)  # "turn omf": it cannot be read, and it may decide
        return guess(text, said, self._lexicon.meanings(said.shape), learned.english())

    def features(self, text: str) -> tuple[Said, frozenset[str]]:
        """The sentence with its numbers, and its features: what the classifiers are taught by."""
        said = said_of(text)
        return said, learned.features_of(said, self._lexicon.meanings(said.shape))

    def _templated(self, said: str) -> Reading | None:
        """What a template makes of the sentence, as it is spelled or with slips of the finger mended."""
        found = self._timed(said)
        if found is None:
            mended = normalize_quantities(self._spelling.mend(said))
            found = self._timed(mended) if mended != said else None
        return found

    def _timed(self, said: str) -> Reading | None:
        timed = split_when(said)
        if timed is None:
            return self._recognize(said)
        what, when = timed
        if self._recognize(what) is None and not _REMINDER.search(what):
            return None
        return Reading("schedule", {"what": what} | _told(when))

    def _recognize(self, said: str) -> Reading | None:
        """What a template makes of it, politeness left out; as it stands where nothing else was said ("hello")."""
        from hassil import recognize_best

        plain = re.sub(r"\s+", " ", self._filler.sub(" ", said)).strip()
        found = recognize_best(plain, self._intents) if plain else None
        if found is None and plain != said:
            found = recognize_best(said, self._intents)
        if found is None:
            return None
        return Reading(
            found.intent.name, {e.name: _plain(e.value) for e in found.entities_list if not e.name.startswith("_")}
        )

    def nearest(self, text: str, count: int = 2) -> tuple[str, ...]:
        """The examples of the kinds of sentence that look most like this text; none without a word in common."""
        said = set(_stems(text)) - _COMMON
        ranked = sorted(
            (example for example in self.examples.values() if not said.isdisjoint(_stems(example))),
            key=lambda example: (
                -len(said & set(_stems(example))),
                -difflib.SequenceMatcher(None, text.lower()[:MAX_SENTENCE_CHARS], example).ratio(),
            ),
        )
        return tuple(ranked[:count])


def no_more_to_stop(text: str) -> str:
    """ "Don't blink any more" as "stop blink": what it wants is that something ends."""
    return _NO_MORE.sub(r"stop \1", text)


def is_negated(text: str) -> bool:
    """Whether the sentence says not to do something; such a sentence acts only where it is clear all the same."""
    return (
        _NEGATIONS.search(text.lower().replace("’", "'").replace("‘", "'").replace("´", "'").replace("`", "'"))
        is not None
    )


def without_negated(text: str) -> str:
    """The text without its clauses that say "not"; "no longer" at the end of an order and the like say nothing."""
    if not is_negated(text) or not is_negated(_HARMLESS_NOT.sub(" ", text)):
        return text
    kept: list[str] = []
    at = 0
    for end in [*_CLAUSE_ENDS.finditer(text), None]:
        clause = text[at : end.start() if end else len(text)]
        if not is_negated(_HARMLESS_NOT.sub(" ", clause)):
            kept.append(clause + (end[0] if end else ""))
        at = end.end() if end else len(text)
    return "".join(kept).strip()


@cache
def english() -> Sentences:
    """The English sentences, read once from the package's data (hassil is imported here, at first use)."""
    from hassil import Intents, merge_dict

    merged: dict[str, Any] = {}
    for name in _TEMPLATES:
        merge_dict(merged, _data(name))
    meanings = _data("lexicon")["meanings"]
    core = {*_words(merged), *QUANTITY_WORDS}
    rare = {*_words(meanings), *_NO_SLIPS} - core | _SHORT_NUMBERS
    return Sentences(
        Intents.from_dict(merged),
        {name: kind["example"] for name, kind in merged["intents"].items() if "example" in kind},
        merged["filler"],
        Lexicon(meanings),
        Dangers(_data("dangers")["dangers"]),
        Spelling(core | rare, rare),
    )


def _data(name: str) -> dict[str, Any]:
    folder = resources.files(__package__) / "intents" / "en"
    return tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))


def _one_of(phrases: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted(phrases, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(re.escape(p) for p in longest_first)})(?![\w-])")


def _words(value: Any) -> Iterator[str]:
    """Every word of the sentences' data; what stands in braces or angles is a name, no word."""
    match value:
        case str():
            yield from re.findall(r"[a-z]+(?:-[a-z]+)?", re.sub(r"\{[^}]*\}|<[^>]*>", " ", value))
        case dict():
            for part in value.values():
                yield from _words(part)
        case list():
            for part in value:
                yield from _words(part)


def _told(when: When) -> dict[str, int | str | bool]:
    told: dict[str, int | str | bool | None] = {
        "clock": when.clock,
        "repeat": when.repeat,
        "date": when.date,
        "delay_ms": when.delay_ms,
    }
    told["notify"] = True if when.notify else None
    return {name: value for name, value in told.items() if value is not None}


def _plain(value: object) -> int | str | bool:
    """hassil gives every number as a float."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return int(value)
    return str(value).strip()


def _stems(text: str) -> list[str]:
    words = re.findall(r"[a-z]{3,}", normalize_quantities(text[:MAX_SENTENCE_CHARS]))
    return [word.removesuffix("ing").removesuffix("s") for word in words if word not in {"the", "and", "what"}]
