"""Which kind of sentence was said, and its values: hassil templates over normalized quantities. Acts on nothing."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from microclaw.models import learned
from microclaw.models.asides import Asides, without_empty_clauses
from microclaw.models.asked import is_question, is_told, says_nothing
from microclaw.models.frames import THINGS, Bag, Vocabulary
from microclaw.models.gist import bare_pin, harmless, unknown_word
from microclaw.models.kinds import kind_of
from microclaw.models.likely import NOTHING_DONE, Guess, guess, reading_of
from microclaw.models.numbers import Number, numbers_of
from microclaw.models.quantities import QUANTITY_WORDS, normalize_quantities
from microclaw.models.spelling import Spelling
from microclaw.models.times_of_day import When, split_when

if TYPE_CHECKING:
    from hassil import Intents

MAX_SENTENCE_CHARS = 300
READINGS_KEPT = 64

_FILES = ("words", "programs", "now", "manage", "refused", "frames", "asides")  # help lists the kinds in this order
_WITH_ANY_NAME = frozenset({"remove_app", "app_status"})  # any words at all may be a program's name there
# The rest of a sentence, more likely than a program's name.
_NO_NAME = re.compile(r"^(?!what|every|any|all\b)(?:.*\bpin \d|(?:\S+ ){4})")
_SAYS_MORE = re.compile(r"[,;.!?] ")  # no program is named over a stop
_REMINDER = re.compile(r"^(?:remind|wake|alert|notify|warn|call) (?:me|us)\b")
_NO_MORE = re.compile(
    r"(?i)^\s*(?:please )?(?:do not|don[’']?t) (\w+(?: (?:on )?(?:the led|(?:pin|gpio) ?\d+))?),? "
    r"(?:anymore|any more|any longer)"
    r"(?:,? please)?[\s.!]*$"
)
# Words on their own, one slip away from others.
_NO_SLIPS = frozenset({"prevent", "teach", "leave", "left", "heat", "lamb", "clean", "learn", "steam"})
_SHORT_NUMBERS = frozenset({"one", "two", "six", "ten", "four", "five", "nine"})  # a slip of one is another
_ASKS = re.compile(
    r"(?:(?:and|so|well|but|i wonder|tell me|do you know|i forgot) )*"
    r"(?:(?:would|could|should|can|will|may|might) (?!you\b)|"
    r"(?:does|did|has|have|had|was|were|is|are|am|do|who|whose|why|how|what|which|where) |when (?:did|does|was|will) )"
)
_SOMEONE = re.compile(  # "the one on the left" is no number
    r"(?<!pin )(?<!pins )(?<!gpio )(?<!number )(?<![\w-])one(?![\w-])(?! (?:second|sec|minute|min|hour|percent|degree|time|half|third|quarter|point|hundred|thousand|"
    r"flash|blink|pulse|beep|shot|and a half|volt|amp|watt|hertz|hz)|[ -](?:percent|second)|%)"
)
_DONE_WITH_PINS = ("on", "off", "toggle", "blink", "fade", "pulse", "dim", "hold")
_COMMON = frozenset({"pin", "you", "can", "turn", "when", "for", "with"})  # in examples of every kind
_NEGATIONS = re.compile(
    r"\b(?:not|no|never|none|nothing|nobody|neither|nor|without|avoid|refrain|except|unless|instead|cannot|"
    r"(?:do|does|did|is|are|was|were|ca|wo|would|could|should|must|need|have|has|had|ai|sha|might)n'?t|cant|wont|dont)\b"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A sentence understood: its kind and its values (whole numbers, words)."""

    kind: str
    values: Mapping[str, int | str | bool]
    loose: bool = False  # it has words that were left unread as harmless

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
        vocabulary: Vocabulary,
        asides: Asides,
        words: Iterable[str],
        rare: Iterable[str],
    ) -> None:
        self._intents = intents
        self._vocabulary = vocabulary
        self._asides = asides
        self.examples = examples
        self._filler = _one_of(filler)
        self._spelling = Spelling(words, rare)
        self._heads = learned.english
        self.read = lru_cache(READINGS_KEPT)(self.read_anew)  # a turn asks again after each tool

    def read_anew(self, text: str) -> Reading | None:
        """The reading of the sentence, or None when what matters in it is not understood.

        Every word counts at first; then what is said beside the order is left out, and unknown words are where they
        are harmless. A sentence that names a time of day or a date is a "schedule" whose value "what" is the rest.
        """
        said = normalize_quantities(text[: MAX_SENTENCE_CHARS + 1])
        if not said or len(said) > MAX_SENTENCE_CHARS:
            return None
        found = self._timed(said)
        if found is None:
            mended = self._spelling.mend(said)
            found = self._timed(normalize_quantities(mended)) if mended != said else None
            found = self._tolerant(text, {said, normalize_quantities(mended)}) if found is None else found
            found = self.guess(text) if found is None else found
        if found is not None and found.kind in _WITH_ANY_NAME:
            name = str(found.values.get("app"))
            if _NO_NAME.search(name) or (" " in name and _SAYS_MORE.search(text)):
                return self._tolerant(text, {said}) or found
        return found

    def is_negated(self, text: str) -> bool:
        """Whether the sentence says not to do something; such a sentence never acts."""
        return is_negated(text) and is_negated(self._asides.without(text))

    def _tolerant(self, text: str, tried: set[str]) -> Reading | None:
        """The reading of what matters in it. `tried`: what is known not to be understood word by word."""
        asides = self._asides
        whole = asides.without(text)
        plain = normalize_quantities(whole)
        reason = asides.danger(text.lower()) or asides.danger(plain)
        if reason is not None:
            return Reading("unsafe", {"reason": reason})
        if asides.blocks(plain):
            return None
        said = bare_pin(normalize_quantities(without_empty_clauses(whole, self._is_empty)))
        mended = normalize_quantities(self._spelling.mend(said))
        for whole in dict.fromkeys((said, mended)):
            found = self._timed(whole) if whole not in tried else None
            if found is not None:
                return found
        return self._timed(said, loose=True) or (self._timed(mended, loose=True) if mended != said else None)

    def _is_empty(self, clause: str, first: bool) -> bool:
        """Whether a clause orders nothing, names nothing and bounds nothing."""
        said = normalize_quantities(clause)
        if re.search(r"\d", said) or is_negated(said) or split_when(said) is not None:
            return False
        if not says_nothing(self._vocabulary.bag(said, unknown_word), first=first):
            return False
        alone = self._recognize(said) if first else None  # "undo that, I pressed the wrong thing"
        return alone is None or alone.kind == "greeting"

    def _timed(self, said: str, *, loose: bool = False) -> Reading | None:
        timed = split_when(said)
        read = self._gist if loose else self._recognize
        if timed is None:
            return read(said)
        what, when = timed
        if read(what) is None and not _REMINDER.search(what):
            return None
        return Reading("schedule", {"what": what} | _told(when), loose)

    def _gist(self, said: str) -> Reading | None:
        """What its known words mean, where the others are harmless."""
        plain = re.sub(r"\s+", " ", self._filler.sub(" ", said)).strip()
        for text in dict.fromkeys((plain, said)):
            bag = self._vocabulary.bag(text, harmless)
            kind = kind_of(bag, asked=_ASKS.match(text) is not None) if bag is not None else None
            if kind is not None:
                return Reading(*kind, loose=True)
        return None

    def _recognize(self, said: str) -> Reading | None:
        """What a template makes of it, politeness left out; as it stands where nothing else was said ("hello")."""
        from hassil import recognize_best

        plain = re.sub(r"\s+", " ", self._filler.sub(" ", said)).strip()
        found = recognize_best(plain, self._intents) if plain else None
        if found is None and plain != said:
            found = recognize_best(said, self._intents)
        if found is None:
            return self._framed(plain)
        values = {e.name: _plain(e.value) for e in found.entities_list if not e.name.startswith("_")}
        if found.intent.name in _WITH_ANY_NAME:
            framed = self._framed(plain)
            if framed is not None and (framed.kind != found.intent.name or " " in str(values.get("app"))):
                return framed
        return Reading(found.intent.name, values)

    def _framed(self, plain: str) -> Reading | None:
        """What its words mean one by one, where all of them are known."""
        if self._asides.blocks(plain):
            return None
        bag = self._vocabulary.bag(plain)
        kind = kind_of(bag) if bag is not None else None
        return Reading(*kind) if kind is not None else None

    def guess(self, text: str, *, negated: bool = False) -> Reading | None:
        """The likeliest reading by what was learned of other sentences, where it is likely enough."""
        found = self._guess(text)
        timed = split_when(normalize_quantities(text))
        if timed is None or found.label in ("told", "dont", "more", "other", "unsafe"):
            kind = reading_of(found, text, negated=negated)
            return Reading(*kind, loose=True) if kind is not None else None
        what, when = timed
        kind = reading_of(self._guess(what), what, negated=negated)
        if kind is None or kind[0] in NOTHING_DONE:
            return None
        return Reading("schedule", {"what": what} | _told(when), loose=True)

    def _guess(self, text: str) -> Guess:
        said, numbers, bag = self.words_of(text)
        return guess(said, numbers, bag, self._heads())

    def words_of(self, text: str) -> tuple[str, tuple[Number, ...] | None, Bag | None]:
        """The normalized sentence, its numbers (None for digits that are none), and what its known words mean."""
        said = bare_pin(normalize_quantities(_SOMEONE.sub("oone", self._asides.without(text))))
        return said, numbers_of(said), self._vocabulary.bag(said, unknown_word)

    def is_half_read(self, text: str) -> bool:
        """Whether it orders something of a thing or a pin, and more, which was not understood."""
        said = self._filler.sub(" ", normalize_quantities(self._asides.without(text[:MAX_SENTENCE_CHARS])))
        bag = self._vocabulary.bag(re.sub(r"\s+", " ", said).strip(), unknown_word)
        if bag is None or _ASKS.match(said) or is_question(bag) or is_told(bag):
            return False
        return bag.has(*_DONE_WITH_PINS) and bag.has("pin", "pins", *THINGS)

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
    """Whether the sentence says not to do something; such a sentence never acts."""
    return (
        _NEGATIONS.search(text.lower().replace("’", "'").replace("‘", "'").replace("´", "'").replace("`", "'"))
        is not None
    )


@cache
def english() -> Sentences:
    """The English sentences, read once from the package's data (hassil is imported here, at first use)."""
    from hassil import Intents, merge_dict

    merged: dict[str, Any] = {}
    folder = resources.files(__package__) / "intents" / "en"
    for name in _FILES:
        merge_dict(merged, tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8")))
    core = {*_words({name: part for name, part in merged.items() if name not in ("asides", "frames")}), *QUANTITY_WORDS}
    rare = {*_words(merged["frames"]), *_NO_SLIPS} - core | _SHORT_NUMBERS
    examples = {name: kind["example"] for name, kind in merged["intents"].items() if "example" in kind}
    return Sentences(
        Intents.from_dict(merged),
        examples,
        merged["filler"],
        Vocabulary(merged["frames"]),
        Asides(merged["asides"]),
        core | rare,
        rare,
    )


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
