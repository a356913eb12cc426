"""Finds the things of a wish and the pins that they are on, and writes each as one mark: "the lamp" as "output#5".

A thing is named once beside its pin ("the lamp over the desk on pin 5", "pin 5 is the lamp"), and may be named again
without it. Text is in the normal form of language/quantities.py.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from msgspec import Struct

from microclaw.agent.language.plain_wording import NO_NAME
from microclaw.tables import read_table

_TABLE: Final = read_table(__package__, "wish_words")
_NO_THING: Final = frozenset(_TABLE["things"]["no_thing"].split())
_KIND_OF: Final[dict[str, str]] = {}
for _kind_name, _kind_nouns in _TABLE["kinds"].items():
    _KIND_OF.update(dict.fromkeys(_kind_nouns.split(), _kind_name))
_INPUT_SWITCHES: Final = frozenset(
    {"float switch", "lid switch", "limit switch", "level switch", "tilt switch", "guard switch", "safety switch"}
)
_WORDS: Final = {
    "button": "the button on pin {pin}",
    "door": "the door contact on pin {pin}",
    "motion": "the motion sensor on pin {pin}",
    "soil": "the soil sensor on pin {pin}",
    "output": "pin {pin}",
    "input": "pin {pin}",
    "led": "the led",
}
_SYNONYMS: Final = tuple(frozenset(names.split()) for names in _TABLE["things"]["synonyms"])
_DETERMINER: Final = (
    r"(?:both(?: the)?|all(?: the)?|these|two|the|my|our|your|a|an|this|that|his|her|their|[a-z]+['’]s)"
)
_ARTICLE_NAME: Final = NO_NAME - set(_TABLE["things"]["may_name"].split()) | set(_TABLE["things"]["no_name"].split())
_NEVER_A_NAME: Final = "|".join(sorted(NO_NAME))
_BARE_NAME_PARTS: Final = frozenset({"night", "morning", "evening", "front", "back"})
_NO_BARE_NAME: Final = NO_NAME - _BARE_NAME_PARTS | set(_TABLE["things"]["no_bare_name"].split())


def _noun(no_name: frozenset[str]) -> str:
    return rf"(?!(?:{'|'.join(sorted(no_name))})\b)[a-z][a-z'’-]*"


def _name(no_name: frozenset[str]) -> str:
    noun = _noun(no_name)
    return rf"{noun}(?: {noun}){{0,4}}?"


_NAME: Final = _name(_ARTICLE_NAME)
_BARE_NAME: Final = _name(_NO_BARE_NAME)
_AREA: Final = (
    r"(?:over|in|at|by|of|for|under|above|behind|beside|near|next to|outside|inside|from|on|below|to|around|along|with)"
)
_BRACKET: Final = r"(?: \((?:the |its |a )?(?:contact|switch|sensor|relay|button))?"
_WHERE: Final = rf"(?: {_AREA} (?:(?:the|my|our|a|an|his|her|their|[a-z]+['’]s) )(?P<where>{_NAME}))?"
_WIRED: Final = r"(?: (?:which is|that is|that's|it is|it's|is|are|sits|hangs|connected|wired|attached|hooked up))*"
_LINK: Final = rf"(?: ¦)?{_WIRED}(?: (?:on|at|to|in|into|using|via|=|by|of))?(?: the)?"
_PINS: Final = r"(?P<pins>pin \d{1,3}(?: also pin \d{1,3})*)"
_PIN: Final = re.compile(r"pin (\d{1,3})")
_MENTIONS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\((?P<pins>pin \d{{1,3}}) (?:is |= )?(?:{_DETERMINER} )?(?P<name>{_NAME})\)(?P<where>)",
        rf"(?<!for )\b{_DETERMINER} (?P<name>{_NAME}){_WHERE}{_BRACKET}{_LINK} \(?{_PINS}\)?",
        rf"(?<!\S)(?P<name>{_BARE_NAME}){_WHERE}{_BRACKET}{_LINK} \(?{_PINS}\)?",
        rf"\b{_DETERMINER} (?P<name>{_NAME}){_WHERE}{_BRACKET}{_LINK} \(?{_PINS}\)?",
        rf"\b(?P<pins>pin \d{{1,3}}) (?:is|has|= |are|with) {_DETERMINER} (?P<name>{_NAME})(?P<where>)"
        r"(?= ¦|$| and )",
        r"\b(?P<pins>pin \d{1,3}(?: also pin \d{1,3})*)(?P<name>)(?P<where>)",
    )
)
_LED: Final = re.compile(
    rf"(?:\b{_DETERMINER} )?(?:(?:little|small|onboard|on-board|built-in|builtin|board's|status|blue|board) )*\bled\b"
    r"(?: on the board)?(?! (?:strip|on pin|at pin|\(|pin))"
)
MARK: Final = r"(?:button|door|motion|soil|output|input|led)#(?:\d+|@[a-z]+)?"
"""A thing: its kind, and its pin, or its noun if no pin is said. The board's LED has neither."""
_EACH: Final = re.compile(
    rf"(?P<first>{MARK}) and (?P<second>{MARK})(?: ¦)? are (?:both )?"
    r"(?P<how>open|closed|shut|high|low|pressed|held down|down)"
)
_EITHER: Final = re.compile(
    rf"(?<!only )(?<!precisely )(?:either|any|1)(?: 1)?(?: of)? (?P<first>{MARK}) (?:and|or) (?P<second>{MARK}) "
    r"(?:is|are|goes|go|gets) (?P<how>open|closed|shut|high|low|pressed|down)"
)
_EITHER_DOES: Final = re.compile(
    rf"(?:either )?(?P<first>{MARK}) or (?P<second>{MARK}) (?P<how>opens|closes|(?:goes|gets) (?:high|low))"
)
_INTRODUCED: Final = re.compile(
    rf"(?:i have|i've got|i have got|we have|we've got|there is|there's|there are) (?:a |an |one )?{MARK}"
    r"(?=(?: ¦| and| ¦ so|$))|(?:^|(?<=¦ ))(?:door|motion|soil|output|input)#\d+(?= ¦)"
)

_AFTER_A_NAME: Final = (
    r"(?:for|at|when|whenever|if|while|until|every|in \d|as soon|as long|and|then|once|tonight|tomorrow|now|again"
    r"|please)\b"
)
_ASKED_FOR: Final = "|".join(_TABLE["things"]["asked_for"].split())
_WITHOUT_PIN: Final = re.compile(
    rf"(?:\b{_DETERMINER} |(?:^|(?<=¦ ))(?=(?:[a-z]+ ){{1,2}}(?:on|off) ))(?:(?!(?:{_NEVER_A_NAME})\b)[a-z'’]+ ){{0,2}}"
    rf"(?P<noun>{_ASKED_FOR})s?(?: contact)?(?! sensor| contact| schedule| program| app| rule)(?![\w#'’])"
)


# What stands there is a thing, whatever its name is.
_SWITCHED: Final = re.compile(
    rf"\b(?P<verb>(?:turn|switch|put|power) (?:on|off)|start|stop|run|shut|open|close) "
    rf"{_DETERMINER} (?P<name>{_NAME})(?: (?:of|in|at|over) {_DETERMINER} {_NAME})?(?= ¦|$| {_AFTER_A_NAME})"
    rf"|\b(?P<verb_2>turn|switch|put|power) {_DETERMINER} (?P<name_2>{_NAME})"
    rf"(?: (?:of|in|at|over) {_DETERMINER} {_NAME})?(?= (?:on|off)(?: ¦|$| {_AFTER_A_NAME}))"
)


class Thing(Struct, frozen=True):
    """What is on a pin: its kind, and the nouns that a person calls it by. The LED of the board has no pin."""

    kind: str
    pin: int | None
    nouns: frozenset[str] = frozenset()

    @property
    def mark(self) -> str:
        if self.pin is None:
            return "led#"
        return f"{self.kind}#{self.pin}"


class MarkedWish(Struct, frozen=True):
    """A wish whose things are marks, and the things by their marks."""

    text: str
    things: dict[str, Thing]

    def only(self, kind: str) -> str | None:
        """Return the mark of the only thing of this kind."""
        marks = [mark for mark, thing in self.things.items() if thing.kind == kind]
        if len(marks) == 1:
            return marks[0]
        return None


def thing_words() -> frozenset[str]:
    """Return the nouns of things that may be on a pin, in the singular and the plural."""
    return frozenset(_KIND_OF) | {f"{noun}s" for noun in _KIND_OF}


def words_of(mark: str) -> str:
    """Return a thing in the words of the grammar."""
    kind, _, pin = mark.partition("#")
    return _WORDS[kind].format(pin=_number(pin))


def pin_words(mark: str) -> str:
    """Return a thing's pin in the words of the grammar."""
    return f"pin {_number(mark.partition('#')[2])}"


def _number(pin: str) -> str:
    """Return a pin's number, or the hole for the pin of a thing that has only a noun (offline/unfinished.py)."""
    if pin.startswith("@"):
        return f"{{pin:{pin[1:]}}}"
    return pin


def mark_things(text: str) -> MarkedWish | None:
    """Write each thing as its mark. None if a pin has two kinds of things, or a name two pins."""
    things: dict[str, Thing] = {}
    for pattern in _MENTIONS:
        while True:
            match = pattern.search(text)
            if match is None:
                break
            marks = _marks_of(match, things)
            if marks is None:
                return None
            text = f"{text[: match.start()]}{' and '.join(marks)}{text[match.end() :]}"
    text = re.sub(r"\s+", " ", _INTRODUCED.sub(" ", text)).strip()
    text = _mark_names(text, things)
    if "led#" not in things and _LED.search(text):
        things["led#"] = Thing("led", None, frozenset({"led"}))
        text = _LED.sub("led#", text)
    text = _mark_without_pin(text, things)
    text = re.sub(rf"\b{_DETERMINER} (?={MARK})", "", text)
    text = re.sub(r"\s+", " ", text).strip()
    for joint, pattern in (("and", _EACH), ("or", _EITHER)):
        text = pattern.sub(rf"\g<first> is \g<how> {joint} \g<second> is \g<how>", text)
    text = _EITHER_DOES.sub(r"\g<first> \g<how> or \g<second> \g<how>", text)
    return MarkedWish(text, things)


def _marks_of(match: re.Match[str], things: dict[str, Thing]) -> list[str] | None:
    """Return the marks of a mention; None if one of its pins is something else already."""
    name = match["name"] or ""
    nouns = _nouns(name) | _nouns(match["where"] or "")
    kind = _kind(name, match["where"] or "")
    marks = []
    for number in _PIN.findall(match["pins"]):
        pin = int(number)
        known = _on_pin(pin, things)
        if known is not None:
            if kind not in ("input", known.kind) and known.kind != "input":
                return None
            marks.append(known.mark)
            continue
        thing = Thing(kind, pin, nouns)
        things[thing.mark] = thing
        marks.append(thing.mark)
    return marks


def _on_pin(pin: int, things: dict[str, Thing]) -> Thing | None:
    for thing in things.values():
        if thing.pin == pin:
            return thing
    return None


def _nouns(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", name)) - {"the", "my", "our", "a", "an"}


def _kind(name: str, where: str) -> str:
    """Return what kind of thing has this name: the last noun that is known says it."""
    words = [_singular(word) for word in re.findall(r"[a-z]+", name)]
    if "doorbell" in words and "button" in words:
        return "button"
    if words and words[-1] in ("sensor", "detector", "probe", "contact", "switch"):
        for word in words[:-1]:
            kind = _KIND_OF.get(word)
            if kind in ("door", "motion", "soil"):
                return kind
        if words[-1] == "contact":
            return "door"
        if " ".join(words[-2:]) in _INPUT_SWITCHES:
            return "input"
    for word in reversed(words):
        if word in _KIND_OF:
            return _KIND_OF[word]
    if not words and where:
        return _kind(where, "")
    return "input"


def _singular(word: str) -> str:
    if word not in _KIND_OF and word.removesuffix("s") in _KIND_OF:
        return word.removesuffix("s")
    return word


def _mark_names(text: str, things: dict[str, Thing]) -> str:
    """Write the names of things, where they stand again without a pin, as marks."""
    names = Counter[str]()
    owners: dict[str, str] = {}
    for mark, thing in things.items():
        for noun in _all_names(thing):
            names[noun] += 1
            owners[noun] = mark
    for noun in sorted(names, key=len, reverse=True):
        if names[noun] > 1 or (noun not in _KIND_OF and noun not in things[owners[noun]].nouns):
            continue
        before = rf"(?:(?!(?:{_NEVER_A_NAME})\b)[a-z]+ ){{0,2}}"
        text = re.sub(rf"\b(?:the|my|our|this|that|his|her) {before}{noun}\b(?!#)", owners[noun], text)
    return text


def _mark_without_pin(text: str, things: dict[str, Thing]) -> str:
    """Write "the fan", of which no pin is said, as a mark too: its pin is asked for."""

    def write(match: re.Match[str]) -> str:
        noun = match["noun"]
        mark = f"{_KIND_OF[noun]}#@{noun}"
        things[mark] = Thing(_KIND_OF[noun], None, frozenset({noun}))
        return mark

    def write_switched(match: re.Match[str]) -> str:
        noun = (match["name"] or match["name_2"]).rpartition(" ")[2]
        if noun in _NO_THING or not noun.isalpha():
            return match[0]
        mark = f"output#@{noun}"
        things[mark] = Thing("output", None, frozenset({noun}))
        return f"{match['verb'] or match['verb_2']} {mark}"

    return _SWITCHED.sub(write_switched, _WITHOUT_PIN.sub(write, text))


def _all_names(thing: Thing) -> frozenset[str]:
    names = set(thing.nouns)
    for group in _SYNONYMS:
        if group & thing.nouns:
            names |= group
    if thing.kind == "output":
        names -= {"door", "window", "button", "sensor"}
    return frozenset(names)
