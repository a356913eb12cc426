"""Reads what happens at a thing, or how it is: "the door gets opened", "nobody moves", "it is warmer than 28".

Its words are in event_words.toml.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.agent.wishes.patterns import compile_rows
from microclaw.agent.wishes.things import MarkedWish, pin_words, words_of
from microclaw.tables import read_table

_KIND_OF_NOBODY: Final = {
    "pressed": "button",
    "quiet": "motion",
    "motion": "motion",
    "dry": "soil",
    "released": "button",
    "falls": "input",
    "rises": "input",
    "closes": "door",
    "opens": "door",
    "open": "door",
    "closed": "door",
    "down": "button",
}
"""The kind of the thing that an event without one is about."""
_FORMS: Final = {
    "pressed": ("{thing} is pressed", "{thing} is down", "{thing} is up"),
    "released": ("{thing} is released", "{thing} is up", "{thing} is down"),
    "down": ("", "{thing} is down", "{thing} is up"),
    "opens": ("{thing} opens", "{thing} is open", "{thing} is closed"),
    "open": ("{thing} opens", "{thing} is open", "{thing} is closed"),
    "closes": ("{thing} closes", "{thing} is closed", "{thing} is open"),
    "closed": ("{thing} closes", "{thing} is closed", "{thing} is open"),
    "motion": ("{thing} sees motion", "{thing} sees motion", "{thing} sees no motion"),
    "quiet": ("", "{thing} sees no motion", "{thing} sees motion"),
    "dry": ("{thing} is dry", "", ""),
    "high": ("{pin} goes high", "{pin} is high", "{pin} is low"),
    "rises": ("{pin} goes high", "{pin} is high", "{pin} is low"),
    "low": ("{pin} goes low", "{pin} is low", "{pin} is high"),
    "falls": ("{pin} goes low", "{pin} is low", "{pin} is high"),
}
_STATES: Final = frozenset({"down", "open", "closed", "quiet", "high", "low"})

_GO: Final = (
    r"(?: (?:is|gets|goes|rises|climbs|falls|drops|sinks|becomes|was|are|reads"
    r"|has (?:been|gone|fallen|risen|dropped|climbed|sunk)|stays|remains|gone)|['’](?:s|re))?"
    r"(?: back(?! (?:up|down) (?:to|at))| up| down)?(?: to(?: be)?)?"
)
_ABOVE: Final = (
    r"(?:above|over|(?:more humid|more|greater|higher|warmer|hotter|wetter|damper) than|exceeds|past|reaches|hits"
    r"|at least|back up (?:to|at))"
)
_BELOW: Final = r"(?:below|under|back down (?:to|at)|(?:less|lower|colder|cooler|drier|dryer) than)"
_AMOUNT: Final = r"(?P<milli>-?\d+)(?: milli)?(?: (?P<unit>degrees|percent|hpa))?"
_SAID: Final = r"(?: (?:of )?(?:relative )?(?P<said>humidity))?"
_ROOM: Final = (
    r"(?:room|air|house|greenhouse|nursery|cellar|shed|garage|kitchen|bedroom|attic|basement|office|tent|box|cabin"
    r"|bathroom|bath|enclosure|cupboard|closet|cabinet|chamber|incubator|hive|coop|conservatory|terrarium|vivarium"
    r"|sauna|workshop|loft|classroom|hall|hallway|corridor|barn|stable|aviary|wardrobe|flat|studio|lab|nest|crypt|church|chapel|vestry|tower)"
)
_PLACE: Final = rf"(?: (?:in|of|at) (?:the|my|our) {_ROOM}| in (?:here|there))?"
_QUANTITIES: Final = {
    "temperature": "temperature", "temp": "temperature", "t": "temperature", "heat": "temperature",
    "humidity": "humidity", "hum": "humidity", "rh": "humidity", "pressure": "pressure", "barometer": "pressure",
}  # fmt: skip
_SUBJECT: Final = (
    r"(?:(?:the |a )?(?:(?:air|room|relative|barometric) )?"
    rf"(?P<quantity>{'|'.join(_QUANTITIES)}){_PLACE}"
    rf"|(?P<it>it|we|there|(?:the )?air{_PLACE}|(?:the|my|our|this) (?:[a-z]+['’]?s? ){{0,2}}{_ROOM}))"
)
_VALUE: Final = re.compile(rf"{_SUBJECT}{_GO} (?:(?P<above>{_ABOVE})|{_BELOW}) {_AMOUNT}{_SAID}{_PLACE}")
_OTHER_UNIT: Final = re.compile(
    r" (?:ms|lux|lx|lumens?|pp[mb]|[ckm]?m|met(?:re|er)s?|m?l|lit(?:re|er)s?|rpm|k?w|watts?|m?v|volts?|m?a|amps?|k?g"
    r"|grams?|km/h|mph|db|decibels?|people|persons|times|steps|counts|k?hz|hertz|bar|psi)\b"
)
_ONLY_LIMIT: Final = re.compile(rf"(?:(?P<above>{_ABOVE})|{_BELOW}) {_AMOUNT}{_PLACE}")
_AFTER_OUTPUT: Final = re.compile(r"(?:(?:output|led)#\S*|\b(?:on|off))(?: again)? $")
"""Behind it a number without a unit is a temperature: "fan on pin 5 above 28", "off below 26"."""
_UNITS: Final = {"degrees": "temperature", "percent": "humidity", "hpa": "pressure"}
_BY_WORD: Final = (
    (re.compile(r"\b(?:warmer|hotter|colder|cooler)\b"), "temperature"),
    (re.compile(r"\b(?:wetter|damper|drier|dryer|more humid)\b"), "humidity"),
)
_FALLS_TO: Final = re.compile(r"\b(?:falls|drops|sinks|fallen|dropped) (?:back |down )?(?:past|reaches|hits)\b")
_CHANGES: Final = re.compile(
    r"\b(?:rises|climbs|falls|drops|sinks|gone up|gone down|goes up|goes down|risen|fallen|dropped)(?: by)? "
    r"(?:more|greater|at least)\b"
)
_CHANGE_CHARS: Final = 15
_HELD: Final = re.compile(r" (?:for (?:longer than |more than |at least |over )?|(?:longer|more) than )(?P<ms>\d+ ms)")
_TOO: Final = re.compile(
    rf"{_SUBJECT}(?: (?:is|gets|becomes)|['’]s)(?: far| much)?(?: too| very| really| so)? "
    r"(?P<word>hot|warm|cold|cool|damp|humid)(?: (?:in here|in there|here|outside|inside))?(?! than)"
)
_PIN: Final = r"[\d@a-z]+"
_THINGS: Final = {
    "button": rf"(?P<mark>button#{_PIN})",
    "door": rf"(?P<mark>door#{_PIN})",
    "motion": rf"(?P<mark>motion#{_PIN})",
    "soil": rf"(?P<mark>soil#{_PIN})",
    "input": rf"(?P<mark>input#{_PIN})",
    "sensor": rf"(?P<mark>(?:motion|input)#{_PIN})",
    "pin": rf"(?P<mark>(?:input|output|button|door|motion|soil)#{_PIN})",
    "it": "(?P<mark>)",
}
_TABLE: Final = read_table(__package__, "event_words")
_PATTERNS: Final = compile_rows(_TABLE["events"], _TABLE["parts"] | _THINGS)


def is_room(name: str) -> bool:
    """Return True for a room, whose air a board's sensor may measure."""
    return re.fullmatch(_ROOM, name.lower()) is not None


class Event(Struct, frozen=True):
    """What begins something (`trigger`), or a state that lasts; empty where the grammar has no words for it.

    `about` is the mark of a thing or a quantity, `end` where the words end. `is_state`: the words say how it is.
    """

    end: int
    about: str
    trigger: str
    state: str
    opposite: str
    is_state: bool = False

    @property
    def is_level(self) -> bool:
        """True for what is measured, by the board or by what makes a pin high or low: it may be there already."""
        return self.about.startswith("input#") or "#" not in self.about


def read_event(wish: MarkedWish, start: int, before: Event | None) -> Event | None:
    """Read what happens, or how it is, from this place on. `before` is the event before it ("... or above 30")."""
    best: Event | None = _read_value(wish.text, start, before) or _read_too(wish.text, start)
    for name, pattern in _PATTERNS:
        match = pattern.match(wish.text, start)
        if match is None or (best is not None and match.end() <= best.end):
            continue
        kind = _KIND_OF_NOBODY.get(name)
        mark = match["mark"] or wish.only(kind or "") or _thing_of(before, kind)
        if mark is not None and kind is not None:
            # What a person does with it says what it is.
            mark = mark.replace("input#", f"{kind}#")
        if mark is not None:
            best = _event(match.end(), mark, name)
    if best is None:
        return None
    return _with_time(wish.text, best)


def _thing_of(before: Event | None, kind: str | None) -> str | None:
    """Return the thing that an event without one is about, if that of the event before it may be of this kind."""
    if before is not None and kind is not None and before.about.startswith(f"{kind}#"):
        return before.about
    return None


def _event(end: int, mark: str, name: str) -> Event:
    words = []
    for form in _FORMS[name]:
        words.append(form.format(thing=words_of(mark), pin=pin_words(mark)))
    return Event(end, mark, words[0], words[1], words[2], name in _STATES)


def _read_value(text: str, start: int, before: Event | None) -> Event | None:
    """Read "it is above 28 degrees"; the quantity may be that of the event before it ("... or below 5")."""
    known = ""
    if before is not None and before.about in _UNITS.values():
        known = before.about
    match = _VALUE.match(text, start)
    if match is None:
        match = _ONLY_LIMIT.match(text, start)
        if match is None:
            return None
        is_of_thing = _AFTER_OUTPUT.search(text, 0, start) is not None
        if not (match["unit"] or known or is_of_thing):
            return None
    if match["unit"] is None and _OTHER_UNIT.match(text, match.end()) is not None:
        return None
    about = _quantity_of(match, known)
    if about is None or _CHANGES.search(text, max(0, start - _CHANGE_CHARS), match.end()):
        return None
    milli = int(match["milli"])
    if " milli" not in match[0]:
        milli *= 1000
    sides = ("above", "below")
    if match["above"] is None or _FALLS_TO.search(match[0]):
        sides = ("below", "above")
    unit = {"temperature": " degrees", "humidity": " percent"}.get(about, "")
    state, opposite = (f"the {about} is {side} {milli} milli{unit}" for side in sides)
    return Event(match.end(), about, state, state, opposite)


def _quantity_of(match: re.Match[str], known: str) -> str | None:
    """Return what is measured, by its name, its unit or its comparison; None if they are of two quantities."""
    names = set[str]()
    name = match.groupdict().get("quantity")
    if name:
        names.add(_QUANTITIES[name])
    if match["unit"]:
        names.add(_UNITS[match["unit"]])
    if match.groupdict().get("said"):
        names.add(match["said"])
    for pattern, quantity in _BY_WORD:
        if pattern.search(match[0]):
            names.add(quantity)
    if len(names) > 1:
        return None
    return min(names, default=known or "temperature")


def _read_too(text: str, start: int) -> Event | None:
    """Read "it is too warm": the limit is asked for."""
    match = _TOO.match(text, start)
    if match is None:
        return None
    words = f"it is too {match['word']}"
    return Event(match.end(), "", words, words, "")


def _with_time(text: str, event: Event) -> Event:
    """Return the event as a state that lasted for a time, if the words after it say so."""
    match = _HELD.match(text, event.end)
    if match is None or not event.state:
        return event
    return hold(event, match["ms"], match.end())


def hold(event: Event, ms: str, end: int) -> Event:
    """Return the event that this one's state has lasted for a time."""
    state = event.state.replace(" is ", " stays ")
    return Event(end, event.about, f"{state} for {ms}", "", "")
