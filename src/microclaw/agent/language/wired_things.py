"""Writes a wish whose things are told before or after it ("PIR on pin 6, lamp on pin 5: ...") with their pins in it.

"I have a PIR on pin 6. Turn on the lamp on pin 5 when somebody moves" becomes "turn on the lamp on pin 5 when the
motion sensor on pin 6 sees motion". A thing that the wish does not name, or that it names in two ways, makes no wish.
This module understands nothing and acts on nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from microclaw.agent.language.plain_wording import COLORS, NO_NAME, OUTPUTS, PLACES, PLAIN_WORDS
from microclaw.agent.language.quantities import normalize_quantities

_MORE_OUTPUTS: Final = frozenset({"chime", "gong", "ventilator", "radiator", "humidifier", "dehumidifier", "beeper"})
# An order of the grammar has these words, and they are things, too.
_THINGS: Final = PLAIN_WORDS | {"light", "water", "back", "servo", "potentiometer", "knob", "display"}
_BARE: Final = OUTPUTS | _MORE_OUTPUTS | {"servo"}
_WORD: Final = r"[a-z][a-z'-]*"
_NAME: Final = rf"(?P<name>{_WORD}(?: {_WORD}){{0,4}}?)"
_WIRED: Final = r"(?: (?:connected|wired|attached|hooked up|plugged in|sitting|hanging))?"
_AT: Final = rf"{_WIRED}(?: (?:on|at|to|in|into|using))? (?:the )?pin (?P<pin>\d{{1,3}})"
_WHERE: Final = rf"(?: (?:on|at|in|for|of|by) (?:the|my|our) (?P<where>{_WORD}(?: {_WORD}){{0,2}}))?"
_THE: Final = r"(?:the|my|our|a|an|this|that|one)"
_OWNED: Final = (
    r"(?:i have|i've got|i have got|we have|we've got|there is|there's|here is"
    r"|(?:i|we)(?: have|'ve)? (?:wired|connected|put)|assume|given|with)"
)
_TOLD: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_OWNED} {_THE} {_NAME}{_AT}{_WHERE}",
        rf"{_THE} {_NAME} (?:is|sits|hangs){_AT}{_WHERE}",
        rf"pin (?P<pin>\d{{1,3}}) (?:is|has) {_THE} {_NAME}{_WHERE}",
    )
)
_LISTED: Final = re.compile(rf"(?P<article>{_THE} )?{_NAME}(?: is)?{_AT}{_WHERE}")
_END: Final = re.compile(r"\s*(?:[.;:,!](?=\s)|\s[-\u2013](?=\s)|\sand(?=\s))\s+")
_SENTENCE_END: Final = re.compile(r"[.;,]\s+(?:and\s+)?|\s+\((?=[^()]+\)\W*$)")
_KINDS: Final = (
    (frozenset({"motion", "movement", "pir", "presence"}), "the motion sensor"),
    (frozenset({"soil", "moisture"}), "the soil sensor"),
    (frozenset({"reed", "contact"}), "the door contact"),
    (frozenset({"button", "pushbutton", "doorbell", "key"}), "the button"),
    (frozenset({"potentiometer", "poti", "pot", "knob", "dial"}), "the potentiometer"),
)
_NOT_THE_KIND: Final = frozenset({"float", "light"})
_CALLED: Final = {
    "the motion sensor": r"(?:motion|movement|presence|pir)(?: sensor| detector)?|sensor|detector",
    "the soil sensor": r"(?:soil|moisture|soil moisture) sensor|sensor",
    "the door contact": r"(?:reed|door|window|magnetic|magnet)?(?: ?contact| ?switch| ?sensor)",
    "the button": r"(?:push ?)?button|doorbell|bell button|key",
    "the potentiometer": r"potentiometer|poti|pot|knob|dial",
}
_SOMEBODY: Final = r"(?:somebody|someone|something|anybody|anyone|anything|a person|people)"
_EVENTS: Final = {
    "the motion sensor": (
        rf"{_SOMEBODY} (?:moves?|is moving|walks (?:by|past|in)|comes (?:in|near|by|close))\b"
        r"|(?:there is|there's|it (?:sees|detects|notices|senses)) (?:any |some |a )?"
        r"(?:motion|movement|somebody|someone|something)\b|(?:motion|movement) is (?:detected|seen|sensed)\b"
        r"|it (?:triggers|is triggered|gets triggered|goes off|fires)\b"
    ),
    "the soil sensor": r"(?:it|(?:the )?(?:soil|earth|ground)) (?=(?:is|gets|becomes) (?:too )?dry\b)",
    "the door contact": rf"(?:it|(?:the|my|our) (?:front |back )?(?P<place>{PLACES})) "
    r"(?=(?:is |gets )?(?:opens|closes|opened|closed)\b)",
    "the button": r"(?P<who>(?:i|somebody|someone) (?:press|presses|push|pushes) )it\b",
}
_HAPPENS: Final = {
    "the motion sensor": "{thing} sees motion",
    "the soil sensor": "{thing} ",
    "the door contact": "{thing} ",
    "the button": "{who}{thing}",
}
_ACTED_ON: Final = (
    r"(?P<verb>\b(?:turn|switch|run|start|stop|blink|flash|toggle|flip|dim|fade|open|close|pulse|let|make) )it\b"
)
_HELD: Final = re.compile(r"(?:keep|hold|heat|cool) .{1,60}")
_HOLDS: Final = frozenset({"heater", "radiator", "fan", "humidifier", "dehumidifier", "cooler"})


class _Thing(Struct, frozen=True):
    """What is on a pin. `kind` has the words of the grammar for a sensor or a button, and is empty for others."""

    name: str
    pin: str
    where: str = ""

    @property
    def kind(self) -> str:
        words = set(self.name.split())
        if self.head in OUTPUTS or words & _NOT_THE_KIND:
            return ""
        for names, kind in _KINDS:
            if words & names:
                return kind
        if self.head == "sensor" and words & set(PLACES.split("|")):
            return "the door contact"
        return ""

    @property
    def head(self) -> str:
        return self.name.split()[-1]

    @property
    def color(self) -> str:
        match = re.match(rf"(?:{COLORS})\b", self.name)
        return match[0] if match else ""

    @property
    def place(self) -> str:
        """The door, window, ... that the name or what follows it says; empty if it says none."""
        match = re.search(rf"\b(?:{PLACES})\b", f"{self.where} {self.name}")
        return match[0] if match else ""

    @property
    def words(self) -> str:
        return f"{self.kind or f'the {self.name}'} on pin {self.pin}"


def with_wired_things(text: str) -> str | None:
    """Return the wish with its pins; None if no thing is told beside it, or one has no place in it."""
    wish = re.sub(r"\s+", " ", text.lower()).strip(" .!")
    things = list[_Thing]()
    wish = _cut_before(wish, things)
    wish = _cut_after(wish, things)
    pins = {thing.pin for thing in things}
    if not things or not wish or len(pins) < len(things):
        return None
    for thing in sorted(things, key=lambda thing: -len(thing.name)):
        others = [other for other in things if other is not thing]
        written = _write_thing(wish, thing, others)
        if written is None:
            return None
        wish = written
    return wish


def _cut_before(text: str, things: list[_Thing]) -> str:
    """Return the text without the things in front of it, which are added to the list."""
    while True:
        ends = list(_END.finditer(text))[:3]
        for end in ends:
            thing = _read_thing(text[: end.start()], things)
            if thing is not None:
                things.append(thing)
                text = text[end.end() :].removeprefix("and ").removeprefix("then ").removeprefix("so ")
                break
        else:
            return text


def _cut_after(text: str, things: list[_Thing]) -> str:
    """Return the text without the things behind it. They have a verb: "..., the lamp is on pin 5"."""
    while True:
        ends = list(_SENTENCE_END.finditer(text))
        if not ends:
            return text
        told = list[_Thing]()
        for part in re.split(r",? and (?=the |my )", text[ends[-1].end() :].strip(" .)")):
            thing = _match_thing(_TOLD, normalize_quantities(part))
            if thing is None:
                return text
            told.append(thing)
        things += told
        text = text[: ends[-1].start()]


def _read_thing(clause: str, before: Sequence[_Thing]) -> _Thing | None:
    """Read "there is a lamp on pin 5", "my lamp is on pin 5", "lamp on pin 5", and "green on pin 6" after a red LED."""
    normal = normalize_quantities(clause)
    thing = _match_thing(_TOLD, normal)
    if thing is not None:
        return thing
    thing = _match_thing((_LISTED,), normal)
    if thing is None:
        return None
    if re.fullmatch(COLORS, thing.name):
        head = "led"
        if before:
            head = before[0].head
        return _Thing(f"{thing.name} {head}", thing.pin, thing.where)
    words = thing.name.split()
    is_plain = PLAIN_WORDS.issuperset(words[:-1]) and (thing.kind or words[-1] in _BARE)
    if not is_plain and re.match(_THE + " ", normal) is None:
        return None
    return thing


def _match_thing(patterns: Sequence[re.Pattern[str]], normal: str) -> _Thing | None:
    for pattern in patterns:
        match = pattern.fullmatch(normal)
        if match is None or not _is_name(match["name"]):
            continue
        where = match["where"] or ""
        if NO_NAME.isdisjoint(where.split()):
            return _Thing(match["name"], match["pin"], where)
    return None


def _is_name(name: str) -> bool:
    words = name.split()
    # "A water pump", "the light sensor": such a word is an order only where it begins one.
    return (NO_NAME - _THINGS).isdisjoint(words)


def _write_thing(wish: str, thing: _Thing, others: Sequence[_Thing]) -> str | None:
    """Return the wish with the thing's pin at each of its names, or None if it has none of them."""
    names = [re.escape(thing.name)]
    if not any(other.head == thing.head or other.kind == thing.kind != "" for other in others):
        names += [re.escape(thing.head), *filter(None, [_CALLED.get(thing.kind)])]
    if thing.color:
        names.append(rf"{thing.color}(?: one| light| lamp| led)?")
    article = rf"{_THE} " if not thing.color else rf"(?:{_THE} )?"
    pattern = re.compile(rf"\b{article}(?:{'|'.join(names)})\b(?!(?: (?:on|at|to))? pin| sensor| [a-z]+ on pin)")
    written = pattern.sub(thing.words, wish)
    event = _EVENTS.get(thing.kind)
    if event is not None:
        written = _write_event(written, thing, event)
    if written != wish:
        return written
    if not thing.kind:
        written = re.sub(_ACTED_ON, lambda match: match["verb"] + thing.words, wish, count=1)
    is_held = thing.head in _HOLDS and _HELD.fullmatch(wish) is not None and not others
    if is_held and written == wish:
        written = f"{wish} with {thing.words}"
    return written if written != wish else None


def _write_event(wish: str, thing: _Thing, event: str) -> str:
    """Write what happens at a sensor ("somebody moves") as what the sensor says."""

    def write(match: re.Match[str]) -> str:
        groups = match.groupdict()
        place = groups.get("place")
        if place and thing.place not in ("", place):
            return match[0]
        return _HAPPENS[thing.kind].format(thing=thing.words, who=groups.get("who") or "")

    return re.sub(rf"\b(?:{event})", write, wish)
