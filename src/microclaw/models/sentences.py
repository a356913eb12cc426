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

from microclaw.models.frames import Vocabulary
from microclaw.models.kinds import kind_of
from microclaw.models.quantities import QUANTITY_WORDS, normalize_quantities
from microclaw.models.spelling import Spelling
from microclaw.models.times_of_day import When, split_when

if TYPE_CHECKING:
    from hassil import Intents

MAX_SENTENCE_CHARS = 300
READINGS_KEPT = 64

_FILES = ("words", "programs", "now", "manage", "refused", "frames")  # help lists the kinds in this order
_WITH_ANY_NAME = frozenset({"remove_app", "app_status"})  # any words at all may be a program's name there
_REMINDER = re.compile(r"^(?:remind|wake|alert|notify|warn|call) (?:me|us)\b")
_NO_MORE = re.compile(
    r"(?i)^\s*(?:please )?(?:do not|don[’']?t) (\w+(?: (?:on )?(?:the led|(?:pin|gpio) ?\d+))?),? "
    r"(?:anymore|any more|any longer)"
    r"(?:,? please)?[\s.!]*$"
)
_NEGATIONS = re.compile(
    r"\b(?:not|no|never|none|nothing|nobody|neither|nor|without|avoid|refrain|except|unless|instead|cannot|"
    r"(?:do|does|did|is|are|was|were|ca|wo|would|could|should|must|need|have|has|had|ai|sha|might)n'?t|cant|wont|dont)\b"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A sentence understood: its kind and its values (whole numbers, words)."""

    kind: str
    values: Mapping[str, int | str | bool]

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
        words: Iterable[str],
    ) -> None:
        self._intents = intents
        self._vocabulary = vocabulary
        self.examples = examples
        self._filler = _one_of(filler)
        self._spelling = Spelling(words)
        self.read = lru_cache(READINGS_KEPT)(self.read_anew)  # a turn asks again after each tool

    def read_anew(self, text: str) -> Reading | None:
        """The reading of the whole sentence, or None when no template matches all of it.

        A sentence that names a time of day or a date is a "schedule" whose value "what" is the rest.
        """
        said = normalize_quantities(text[: MAX_SENTENCE_CHARS + 1])
        if not said or len(said) > MAX_SENTENCE_CHARS:
            return None
        found = self._timed(said)
        if found is None:
            mended = self._spelling.mend(said)
            found = self._timed(normalize_quantities(mended)) if mended != said else None
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
            return self._framed(plain)
        values = {e.name: _plain(e.value) for e in found.entities_list if not e.name.startswith("_")}
        if found.intent.name in _WITH_ANY_NAME:
            framed = self._framed(plain)
            if framed is not None and (framed.kind != found.intent.name or " " in str(values.get("app"))):
                return framed
        return Reading(found.intent.name, values)

    def _framed(self, plain: str) -> Reading | None:
        """What its words mean one by one, where all of them are known."""
        bag = self._vocabulary.bag(plain)
        kind = kind_of(bag) if bag is not None else None
        return Reading(*kind) if kind is not None else None

    def nearest(self, text: str, count: int = 2) -> tuple[str, ...]:
        """The examples of the kinds of sentence that look most like this text."""
        said = set(_stems(text))
        ranked = sorted(
            self.examples.values(),
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
    words = {*_words(merged), *QUANTITY_WORDS}
    examples = {name: kind["example"] for name, kind in merged["intents"].items() if "example" in kind}
    return Sentences(Intents.from_dict(merged), examples, merged["filler"], Vocabulary(merged["frames"]), words)


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
