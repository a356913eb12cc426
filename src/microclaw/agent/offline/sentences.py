"""The kind and the values of a sentence from a template that fits all of it; and the sentences nearest to any other.

Templates (hassil, intents/en/*.toml) are sure. A sentence that fits none is compared with the known sentences (also in
intents/en/near.toml); the result are the nearest ones with the numbers of the sentence. This module acts on nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from microclaw.agent.language.quantities import NEGATIONS, normalize_quantities
from microclaw.agent.language.times import split_when
from microclaw.agent.offline.decision import Parse, Say, Values
from microclaw.agent.offline.rules.reader import RULE_EXAMPLES, parse_rule
from microclaw.agent.offline.spelling import is_spelt_like
from microclaw.agent.offline.tagged_text import TaggedText, readable, tag_numbers
from microclaw.hardware.parts.reader import parts, quantities

if TYPE_CHECKING:
    from hassil import Intents
    from hassil.intents import SlotList

MAX_SENTENCE_CHARS = 300

TEMPLATE_FILES = ("words", "programs", "lights", "parts", "now", "questions", "manage", "refused", "near", "unsafe")
"""Files of templates. Help lists the examples in this order, too."""
_WITH_ANY_NAME = frozenset({"remove_app", "app_status", "switch_app"})
"""Kinds of sentences in which any words at all may be a program's name."""
# Such words are more likely the rest of a sentence than a program's name.
_NO_NAME = re.compile(r"\bpin \d|\b(?:and|but)\b|\bon \w|(?:\S+ ){3}")
# A time in these sentences does not say when to do them.
_NEVER_LATER = frozenset({"clock", "list_schedules", "cancel_schedule", "happens_at"})
_NOW_ONLY = frozenset(
    {"pin_reason", "acts_of", "next_run", "running_since", "past_reading", "programs_for", "ways_of", "two_readings"}
)
# Undo does not bring back all that these do, and an order is not answered with a question.
_NEVER_SUGGESTED = _NOW_ONLY | {"contact", "happens_at", "schedule", "cancel_schedule", "remember", "recall", "forget"}
_POLITE = re.compile(r"^(?:(?:please|can you|could you|would you) )+")
_TRIGGER = re.compile(r"(?:when|whenever|while|if|as soon as|every time|each time|once) ")
_COUNTS_AND_TELLS = re.compile(r"\bcount\b.* and (?:tell|send|show|report|text|message|mail)\b")
REMINDER = re.compile(r"^remind (?:me|us)\b")
# Names with digits that are not numbers of the sentence; the names of parts are such names, too.
_NAMES = r"i2c|esp32[\w-]*|co2|3v3|mp3"
# Stands in a template for the words of all quantities that parts measure.
_QUANTITY_WORDS = "{quantity}"
_NOT = re.compile(rf"\b(?:{NEGATIONS})\b")
# Likeness in percent from which a known sentence may be meant, and may be suggested.
_SURE = 70
_ALIKE = 55
_MAX_COMPARED = 20
# Flashes that are at least so far apart are short ones.
_SELDOM_MS = 10_000
# The share of a wording's words that a text has at least if they mean the same.
_LEAST_SHARED = 0.5
_LETTERS = re.compile(r"[a-z]+")
# Words of a wording that a text may lack.
_UNTOLD = re.compile(r"\b(?:an?|the|to|of|its?|this|that|there|with|for|from|in|on|at|by|be|is|are|and|as|my|me|i)\b")
_MAX_ALIKE = 9
_MAX_SUGGESTED = 3


_READING = Lock()


class Nearest(NamedTuple):
    """Up to three known sentences that look most like a text, with its numbers.

    `is_same`: the first one has the same words that matter and the same numbers.
    """

    sentences: tuple[str, ...] = ()
    is_same: bool = False


class Sentences:
    """The English sentences that work without a model, read once from the package's data (hassil is imported here)."""

    def __init__(self) -> None:
        from hassil import Intents

        merged = read_templates(TEMPLATE_FILES)
        on_display = read_templates(("words", "displays"))
        with_hands = read_templates(("words", "hands"))
        self.part_words: Mapping[str, Sequence[str]] = with_hands["part_words"]
        self.answers = {name: Say(**answer) for name, answer in merged["answers"].items()}
        self.examples: dict[str, str] = {}
        self.paces: dict[str, Sequence[int]] = {}
        self.display_examples: list[str] = []
        # Sentences about recorded parts, with the kinds of the parts in braces.
        self.recorded: list[str] = []
        for kind, intent in on_display["intents"].items():
            self.display_examples.append(intent["example"])
            self.paces[kind] = intent.get("paces_ms", ())
            self.recorded += intent.get("recorded", ())
        for intent in with_hands["intents"].values():
            self.recorded += intent["recorded"]
        self._add_intents(merged["intents"])
        self.display_kinds: Mapping[str, Sequence[str]] = on_display["kinds"]
        # For each kind of sentence the parts that it needs, and the role at each slot of its pins.
        self.part_pins: dict[str, Mapping[str, Mapping[str, str]]] = {}
        for kind, intent in {**merged["intents"], **on_display["intents"]}.items():
            self.part_pins[kind] = intent.get("parts", {})
        self._after_help: str = merged["after_an_act"]
        self.near: Mapping[str, Sequence[str]] = merged["near"]
        self.colors: Mapping[str, tuple[int, int, int]] = merged["colors"]
        self._intents = Intents.from_dict(merged)
        self._references = Intents.from_dict(read_templates(("words", "references")))
        self._on_display = Intents.from_dict(on_display)
        self._with_hands = Intents.from_dict(with_hands)
        self._refused = {reason: any_of(phrases) for reason, phrases in merged["dangers"].items()}
        self._names = re.compile(rf"\b(?:{'|'.join([_NAMES, *map(re.escape, parts())])})(?![\w.])")
        self._filler = any_of(map(re.escape, sorted(merged["filler"], key=len, reverse=True)))
        # These words matter also inside of another one, as in "turned-off".
        self._telling = re.compile(rf"\b(?:{'|'.join(merged['telling'])})\b")
        self._known_sentences = self._tag_known(merged["near"])
        self.parse = lru_cache(64)(self.parse_anew)

    def _add_intents(self, intents: Mapping[str, Mapping[str, Any]]) -> None:
        for kind, intent in intents.items():
            if "answer" in intent:
                self.answers.setdefault(kind, Say(**intent["answer"]))
            if "example" in intent:
                self.examples[kind] = intent["example"]
            self.recorded += intent.get("recorded", ())
            if "paces_ms" in intent:
                self.paces[kind] = intent["paces_ms"]

    def help(self, can_do: Callable[[str], bool]) -> Say:
        """Return the examples of which `can_do` is True, one for each kind of sentence."""
        examples = list(filter(can_do, (*self.examples.values(), *self.display_examples, *RULE_EXAMPLES)))
        title = f"Without a model I know {len(examples)} kinds of sentence, in many wordings:"
        return Say("\n  ".join([title, *examples]), next_step=self._after_help)

    def _tag_known(self, near: Mapping[str, Sequence[str]]) -> list[tuple[TaggedText, TaggedText]]:
        """Return each known wording with the sentence that it means: of `near` and of the examples."""
        sentences: dict[str, str] = {}
        for sentence, variants in near.items():
            sentences |= dict.fromkeys((sentence, *variants), sentence)
        for kind, example in self.examples.items():
            if kind not in _NEVER_SUGGESTED:
                sentences[example] = example
        return [(tag_numbers(wording), tag_numbers(sentence)) for wording, sentence in sentences.items()]

    def parse_anew(self, text: str) -> Parse | None:
        """Parse a sentence. Return None if a part that matters is not understood.

        A sentence that names a time of day or a date is a "schedule" whose value "what" is the rest.
        """
        if len(text) > MAX_SENTENCE_CHARS:
            return None
        normal = normalize_quantities(text)
        parse = self._parse_timed(normal)
        if parse is not None and parse.kind not in _WITH_ANY_NAME:
            return parse
        for reason, phrases in self._refused.items():
            if phrases.search(text.lower()) or phrases.search(normal):
                return Parse("unsafe", {"reason": reason})
        if parse is None or _has_no_name(parse):
            return None
        return parse

    def _parse_timed(self, normal: str) -> Parse | None:
        """Parse a sentence; a sentence that names a time becomes a schedule."""
        timed = split_when(normal)
        if timed is None:
            whole = self._recognize(normal)
            is_clear = whole is not None and whole.kind not in _WITH_ANY_NAME
            if not is_clear:
                timed = split_when(normal, bare_hour=True)
            if timed is None:
                return self._without_long_flash(whole, normal) or self.rule(normal)
        what = _POLITE.sub("", timed[0])
        when = timed[1]
        schedule = Parse("schedule", {"what": what}, when=when)
        if REMINDER.match(what):
            return schedule
        if _COUNTS_AND_TELLS.search(normal):
            # The time is that of the telling, and not that of the counting.
            return None
        parse = self._recognize(what) or self.rule(what, may_begin_later=False)
        if parse is None or parse.kind in _NOW_ONLY or _may_be_of_a_part(parse, what, normal):
            return None
        if parse.kind in _NEVER_LATER:
            if when.hour is not None:
                return None
            return replace(parse, when=when)
        if parse.kind in _WITH_ANY_NAME and (_NOT.search(what) or _has_no_name(parse)):
            return None
        return schedule

    def _without_long_flash(self, parse: Parse | None, normal: str) -> Parse | None:
        """Return the parse; "flash the led every half hour" as a rule, since a blink is on for half of the time."""
        if parse is None or not _flashes_seldom(parse, normal):
            return parse
        rule = _as_short_flash(parse)
        return None if rule is None else self.rule(rule)

    def rule(self, normal: str, *, may_begin_later: bool = True) -> Parse | None:
        """Parse a sentence with two clauses in its normal form (rules/reader.py), or return None."""
        return parse_rule(re.sub(r"\s+", " ", self._filler.sub(" ", normal)).strip(), may_begin_later)

    def reference(self, normal: str) -> Parse | None:
        """Parse a sentence in its normal form about the last act. Return None if no template fits (references.toml)."""
        return self._recognize(normal, self._references)

    def on_display(self, text: str) -> Parse | None:
        """Parse what a display shall show. Return None if it is a text, or not understood (displays.toml)."""
        return self._recognize(normalize_quantities(text), self._on_display)

    def on_part(self, text: str, part_words: Mapping[str, str]) -> Parse | None:
        """Parse what hands do with a part (hands.toml). Return None if no template fits.

        `part_words` are templates of the words for the parts, each with the value of the slot "part".
        """
        from hassil.intents import TextSlotList

        slot_lists: dict[str, SlotList] = {"part": TextSlotList.from_tuples(part_words.items(), name="part")}
        return self._recognize(normalize_quantities(text), self._with_hands, slot_lists)

    def _recognize(
        self, normal: str, intents: Intents | None = None, slot_lists: dict[str, SlotList] | None = None
    ) -> Parse | None:
        """Parse a sentence by a template, first without its polite words, then as it stands ("hello")."""
        from hassil import recognize_best

        templates = intents or self._intents
        plain = re.sub(r"\s+", " ", self._filler.sub(" ", normal)).strip()
        match = recognize_best(plain, templates, slot_lists) if plain else None
        if match is None and plain != normal:
            match = recognize_best(normal, templates, slot_lists)
        if match is None:
            return None
        values: Values = {}
        for slot in match.entities_list:
            if slot.name.startswith("_"):
                continue
            # hassil's numbers are floats, and its words have spaces around them.
            if isinstance(slot.value, str):
                values[slot.name] = slot.value.strip()
            else:
                values[slot.name] = int(slot.value)
        return Parse(match.intent.name, values)

    def nearest(
        self,
        text: str,
        named_text: str = "",
        recorded: Iterable[str] = (),
        may_suggest: Callable[[str], bool] = bool,
    ) -> Nearest:
        """Return the known sentences that look most like this text; none for one with a "not", a time or other digits.

        `named_text` is the text with the names of parts, and `recorded` are more known sentences with such names.
        `may_suggest` is False for sentences that do not fit what is wired.
        """
        tagged = self._tag_text(text)
        alike = self._alike(tagged, self._known_sentences)
        tagged_sentences = [tag_numbers(sentence) for sentence in recorded]
        alike += self._alike(self._tag_text(named_text), [(sentence, sentence) for sentence in tagged_sentences])
        alike.sort(key=lambda row: -row.score)
        # Digits that are not a number by themselves, as in "4x4".
        has_stray_digits = re.search(r"\d", self._names.sub("", tagged.shape)) is not None
        has_time = split_when(normalize_quantities(text)) is not None
        if _NOT.search(text.lower()) or has_stray_digits or has_time:
            return Nearest()
        for row in alike:
            is_sure = row.score >= _SURE and self._is_same(row.wording, row.text)
            is_near = is_sure and self._shared_words(row) > _LEAST_SHARED
            if is_near and self.parse(row.sentence) is not None and may_suggest(row.sentence):
                return Nearest((row.sentence,), is_same=True)
        # Sentences that need no number which the text does not have come first.
        near = [row for row in alike if self._is_near(row)][:_MAX_ALIKE]
        near.sort(key=lambda row: not set(row.meaning.units) <= set(row.text.units))
        sentences: dict[str, None] = {}
        for row in near:
            if may_suggest(row.sentence):
                sentences[row.sentence] = None
        return Nearest(tuple(sentences)[:_MAX_SUGGESTED])

    def _tag_text(self, text: str) -> TaggedText:
        return tag_numbers(self._filler.sub(" ", text.lower()[:MAX_SENTENCE_CHARS]))

    def _alike(self, text: TaggedText, known: Sequence[tuple[TaggedText, TaggedText]]) -> list[_Likeness]:
        """Return the known wordings that are like the text, with their meanings."""
        # It takes 3.5 MB, which a host saves that understands all its sentences.
        from rapidfuzz import fuzz, process

        shapes = [wording.shape for wording, _ in known]
        scorer = fuzz.token_sort_ratio
        matches = process.extract(text.shape, shapes, scorer=scorer, score_cutoff=_ALIKE, limit=_MAX_COMPARED)
        return [_Likeness(score, text, *known[index]) for _, score, index in matches]

    def _is_same(self, wording: TaggedText, tagged: TaggedText) -> bool:
        """Return True if the texts have the same words that matter, and numbers of the same units and things."""
        has_numbers = wording.units == tagged.units and wording.has_pins_of(tagged)
        return has_numbers and self._telling_words(wording) == self._telling_words(tagged)

    def _is_near(self, row: _Likeness) -> bool:
        """Return True if the text has all words of the known wording, and tells nothing that the wording does not."""
        told = self._telling_words(row.wording) | self._telling_words(row.meaning)
        is_told = all(is_spelt_like(word, list(told)) for word in self._telling_words(row.text))
        is_whole = not Counter(row.text.units) - Counter(row.meaning.units)
        has_pins = row.meaning.has_pins_of(row.text)
        return self._shared_words(row) == 1 and is_told and is_whole and has_pins

    def _shared_words(self, row: _Likeness) -> float:
        """Return the share of the wording's words that the text has, some with a slip of the keyboard."""
        text_words = _LETTERS.findall(row.text.shape)
        words = _LETTERS.findall(_UNTOLD.sub(" ", self._filler.sub(" ", row.wording.shape)))
        shared_count = sum(is_spelt_like(word, text_words) for word in words)
        return shared_count / max(1, len(words))

    def _telling_words(self, text: TaggedText) -> frozenset[str]:
        return frozenset(self._telling.findall(text.shape.replace(" on PIN", " PIN")))


def _flashes_seldom(parse: Parse, normal: str) -> bool:
    """Return True for "flash the led every half hour", which is no blink that is on for half of the time."""
    if parse.kind not in ("blink", "blink_times", "led_blink") or "flash" not in normal:
        return False
    period_ms = parse.number("period_ms") or parse.number("ms") or 0
    return period_ms >= _SELDOM_MS


def _has_no_name(parse: Parse) -> bool:
    """Return True for what would be the name of a program and cannot be one."""
    return _NO_NAME.search(str(parse.values.get("app"))) is not None


def _as_short_flash(parse: Parse) -> str | None:
    """Return the rule for a flash that comes seldom; None if the sentence has a color, a second pin or an end, too."""
    if not parse.values.keys() <= {"thing", "pin", "ms", "period_ms"}:
        return None
    period_ms = parse.number("period_ms") or parse.number("ms")
    pin = parse.number("pin")
    place = "the led" if pin is None else f"pin {pin}"
    return f"every {period_ms} ms flash {place} once"


def _may_be_of_a_part(parse: Parse, what: str, normal: str) -> bool:
    """Return True if the time of the sentence may belong to a part of it only, or is in a name.

    As in "turn on pin 4 and pin 5 off in 3 s", "when it is cold turn on pin 4 in 3 s", "stop the 7 o'clock alarm".
    """
    begins_alike = normal.split()[0] == what.split()[0]
    if begins_alike and ("level_2" in parse.values or _TRIGGER.match(what)):
        return True
    return parse.kind == "remove_app" and what not in normal


class _Likeness(NamedTuple):
    """How much a text is like a known wording, in percent, and the sentence that the wording means."""

    score: float
    text: TaggedText
    wording: TaggedText
    meaning: TaggedText

    @property
    def sentence(self) -> str:
        """The meaning with the numbers of the text."""
        return readable(self.meaning.with_numbers(self.text))


def english() -> Sentences:
    """Return the sentences. The first thread that asks reads them, and others wait for it."""
    with _READING:
        return _read_english()


@cache
def _read_english() -> Sentences:
    return Sentences()


def read_templates(names: Iterable[str]) -> dict[str, Any]:
    """Read and merge the files of templates."""
    from hassil import merge_dict

    folder = resources.files(__package__) / "intents" / "en"
    merged = dict[str, Any]()
    for name in names:
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        merge_dict(merged, tomllib.loads(text))
    _add_quantities(merged)
    _add_parts(merged)
    return merged


def _add_quantities(templates: dict[str, Any]) -> None:
    """Put the words for the quantities of parts before the words for what no part measures."""
    rows = []
    for name, quantity in quantities().items():
        rows.append({"in": quantity.words["en"], "out": name})
    words = templates["lists"]["quantity"]
    for row in words["values"]:
        if row["out"] not in quantities():
            rows.append(row)
    words["values"] = rows
    for intent in templates["intents"].values():
        for group in intent["data"]:
            keywords = group.get("required_keywords", [])
            if _QUANTITY_WORDS in keywords:
                keywords.remove(_QUANTITY_WORDS)
                keywords += _quantity_keywords()


def _add_parts(templates: dict[str, Any]) -> None:
    """Add the words for the parts that measure something."""
    words = templates["lists"].setdefault("part", {"values": []})
    for name, part in parts().items():
        if part.measures and "en" in part.words:
            words["values"].append({"in": part.words["en"], "out": name})


def _quantity_keywords() -> list[str]:
    """Return the words of which each name of a quantity has one, without those that may be left out."""
    keywords = []
    for quantity in quantities().values():
        needed = re.sub(r"\[[^]]*\]", "", quantity.words["en"])
        keywords += re.findall(r"\w+", needed)
    return keywords


def any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w'-])(?:{'|'.join(patterns)})(?![\w'-])")
