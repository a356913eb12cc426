"""Reads what happens at a thing, or how it is: "the door gets opened", "nobody moves", "it is warmer than 28"."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.agent.wishes.things import MarkedWish, pin_words, words_of

_WHO: Final = (
    r"(?:i|we|you|he|she|they|somebody|someone|anybody|anyone|something|anything|people"
    r"|(?:the|a|my|our|one of the) [a-z]+|(?!(?:when|if|and|or|then|but|once|while|to|please)\b)[a-z]+)"
)
_IS: Final = r"(?:is|was|has been|gets|becomes|stays|remains|is left|stands|has gone|goes)"
_SOMEONE: Final = r"(?:somebody|someone|something|anybody|anyone|anything|a person|people)"
_SEEN: Final = rf"(?: (?:any |some |a )?(?:motion|movement|{_SOMEONE}|it))?"
_NOBODY: Final = r"(?:nobody|no one|noone|nothing|no motion|no movement)"
_SEES: Final = r"(?:sees|detects|notices|senses|picks up|reports|spots|registers)"
_FIRES: Final = r"(?:triggers|(?:is |gets )?(?:triggered|tripped|activated)|goes off|fires|trips)"
_MOVES: Final = r"(?:moves|is moving|walks|comes|goes|runs|passes|shows up|stands|enters|is)"
_BY: Final = r"(?: (?:past|by|near|at|in front of|close to|in|around|along|there|on))*"
_PIN: Final = r"(?P<mark>(?:input|output|button|door|motion|soil)#[\d@a-z]+)"
_BUTTON: Final = r"(?P<mark>button#[\d@a-z]+)"
_DOOR: Final = r"(?P<mark>door#[\d@a-z]+)"
_MOTION: Final = r"(?P<mark>motion#[\d@a-z]+)"
_PRESS: Final = r"(?:press|push|hit|tap|touch|click)(?:es|s)?"
_THEN_ACTS: Final = (
    r"(?= (?:should |must |shall |will |to )?(?:(?:turn|switch|toggle|start|light|blink|flash|ring|sound|stop|make|let|put"
    r"|flip|change|open|close|beep|run|activate|give|set|trigger)(?:s|es)?\b))"
)
_AND_NOW: Final = r"(?= ¦|$| (?:turn|switch|and|then|for|put|light|blink|flash|run|start|open|beep|the|let|make))"

_EVENTS: Final[tuple[tuple[str, str], ...]] = (
    (rf"{_WHO} (?:let go of|lets go of|releases?) {_BUTTON}", "released"),
    (rf"{_BUTTON} (?:is |gets )?(?:released|let go|up)", "released"),
    (rf"{_WHO} (?:am |is |are )?(?:hold|holds|keep|keeps|holding|keeping) (?:down )?{_BUTTON}(?: down| pressed)?", "down"),
    (rf"{_BUTTON} (?:is |gets )?(?:being )?(?:held down|held|kept down|kept pressed|down)", "down"),
    (rf"(?:{_WHO} )?{_PRESS}(?: on)? {_BUTTON}(?: down)?", "pressed"),
    (rf"{_BUTTON} (?:(?:is|gets|was|has been) )?(?:being )?(?:pressed|pushed|hit|tapped|touched|clicked)", "pressed"),
    (rf"(?:a |each |every |any )?(?:press|push|click|tap|pressing|pushing)(?: of| on)? {_BUTTON}", "pressed"),
    (rf"{_DOOR} {_IS} (?:wide |still |left )*(?:open|standing open)", "open"),
    (rf"{_DOOR} (?:opens|(?:is|gets|was|has been) opened|swings open)(?: up)?", "opens"),
    (rf"{_DOOR} (?:closes|shuts|(?:gets|falls) (?:closed|shut))", "closes"),
    (rf"{_DOOR} {_IS} (?:closed|shut)", "closed"),
    (rf"{_WHO} (?:opens?|has opened) {_DOOR}", "opens"),
    (rf"{_WHO} (?:closes?|shuts?) {_DOOR}", "closes"),
    (rf"{_WHO} (?:let go|release it)(?P<mark>)", "released"),
    (r"it (?:goes|is|gets) low(?P<mark>)", "falls"),
    (r"it (?:goes|is|gets) high(?P<mark>)", "rises"),
    (r"it(?: is|'s)? (?:gets |has been )?(?:closed|shut)(?: again)?(?P<mark>)", "closes"),
    (r"it(?: is|'s)? (?:gets |has been )?(?:opened)(?: again)?(?P<mark>)", "opens"),
    (rf"{_WHO} (?:closes|shuts) it(?: again)?(?P<mark>)", "closes"),
    (rf"{_BUTTON}{_THEN_ACTS}", "pressed"),
    (rf"{_MOTION}{_THEN_ACTS}", "motion"),
    (rf"(?:press|push|click) it(?: (?:once more|again))?(?P<mark>)", "pressed"),
    (rf"{_WHO} (?:press|push|click)(?:es)? it(?: (?:once more|again))?(?P<mark>)", "pressed"),
    (rf"(?:each|every|a|another|the next|the second) (?:press|push|click)(?P<mark>){_THEN_ACTS}", "pressed"),
    (rf"opening(?: of)? {_DOOR}", "opens"),
    (rf"closing(?: of)? {_DOOR}", "closes"),
    (rf"{_MOTION} {_SEES} {_NOBODY}", "quiet"),
    (rf"{_MOTION} is quiet", "quiet"),
    (rf"{_NOBODY} (?:{_MOVES}|is seen|is detected){_BY} {_MOTION}", "quiet"),
    (rf"(?:{_NOBODY}) (?:{_MOVES}|is seen|is detected)(?P<mark>){_AND_NOW}", "quiet"),
    (rf"there is {_NOBODY}(?P<mark>)", "quiet"),
    (rf"{_MOTION} (?:{_SEES}{_SEEN}|{_FIRES}|(?:goes|is) high)", "motion"),
    (rf"(?:there is |there's )?(?:any |some )?(?:motion|movement)(?: is)?(?: detected| seen| sensed)?{_BY} {_MOTION}", "motion"),
    (rf"{_WHO} {_MOVES}{_BY} {_MOTION}", "motion"),
    (rf"(?:there is |there's )(?:any |some )?(?:motion|movement)(?P<mark>)", "motion"),
    (rf"(?:motion|movement) is (?:detected|seen|sensed)(?P<mark>)", "motion"),
    (rf"{_SOMEONE} {_MOVES}{_BY}(?P<mark>){_AND_NOW}", "motion"),
    (r"(?P<mark>soil#[\d@a-z]+) (?:is|gets|becomes|says|reads|reports|shows|feels)(?: it is| it's)?(?: too| very)? dry", "dry"),
    (r"(?:it|(?:the )?(?:soil|earth|ground)) (?:is|gets|becomes)(?: too| very)? dry(?P<mark>)", "dry"),
    (rf"{_PIN} (?:goes|is|gets|becomes|turns|reads|rises to|stays|remains|was|is pulled|has been) (?:high|on|1)", "high"),
    (rf"{_PIN} (?:goes|is|gets|becomes|turns|reads|falls to|stays|remains|was|is pulled|has been) (?:low|off|0)", "low"),
    (r"(?:a )?(?:rising edge|high(?: level)?) (?:on|at|of) " + _PIN, "rises"),
    (r"(?:a )?(?:falling edge|low(?: level)?) (?:on|at|of) " + _PIN, "falls"),
    (rf"{_PIN} rises", "rises"),
    (rf"{_PIN} falls", "falls"),
)  # fmt: skip
_KIND_OF_NOBODY: Final = {
    "pressed": "button", "quiet": "motion", "motion": "motion", "dry": "soil", "released": "button",
    "falls": "input", "rises": "input", "closes": "door", "opens": "door",
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
    r"(?: (?:is|gets|goes|rises|climbs|falls|drops|sinks|becomes|was|has (?:been|gone|fallen|risen|dropped)|are|reads"
    r"|stays|remains|gone)|['’](?:s|re))?(?: back| up| down)?(?: to be)?"
)
_ABOVE: Final = (
    r"(?:above|over|(?:more|greater|higher|warmer|hotter|wetter|damper) than|exceeds|past|reaches|hits|at least)"
)
_BELOW: Final = r"(?:below|under|(?:less|lower|colder|cooler|drier|dryer) than|beneath)"
_AMOUNT: Final = r"(?P<milli>-?\d+)(?: milli)?(?: (?P<unit>degrees|percent|hpa))?"
_PLACE: Final = r"(?: (?:in|of|at) (?:the|my|our) (?!(?:led|pin)\b)[a-z]+)?"
_QUANTITIES: Final = {
    "temperature": "temperature", "temp": "temperature", "t": "temperature", "heat": "temperature",
    "humidity": "humidity", "hum": "humidity", "rh": "humidity", "pressure": "pressure",
}  # fmt: skip
_SUBJECT: Final = (
    rf"(?:(?:the |a )?(?:(?:air|room|relative|outside|inside|barometric) )?(?P<quantity>{'|'.join(_QUANTITIES)}){_PLACE}"
    r"|(?P<it>it|we|there|(?:the|my|our|this) (?:[a-z]+['’]?s? ){0,2}(?:room|air|house|greenhouse|nursery|cellar|shed"
    r"|garage|kitchen|bedroom|attic|basement|office|tent|box|cabin|bathroom|bath)))"
)
_VALUE: Final = re.compile(rf"{_SUBJECT}{_GO} (?:(?P<above>{_ABOVE})|{_BELOW}) {_AMOUNT}{_PLACE}")
_ONLY_LIMIT: Final = re.compile(rf"(?:(?P<above>{_ABOVE})|{_BELOW}) {_AMOUNT}{_PLACE}")
_UNITS: Final = {"degrees": "temperature", "percent": "humidity", "hpa": "pressure"}
_BY_WORD: Final = (
    (re.compile(r"\b(?:warmer|hotter|colder|cooler)\b"), "temperature"),
    (re.compile(r"\b(?:wetter|damper|drier|dryer)\b"), "humidity"),
)
_HELD: Final = re.compile(r" (?:for (?:longer than |more than |at least |over )?|(?:longer|more) than )(?P<ms>\d+ ms)")
_TOO: Final = re.compile(
    rf"{_SUBJECT}(?: (?:is|gets|becomes)|['’]s)(?: far| much)?(?: too| very| really| so)? "
    r"(?P<word>hot|warm|cold|cool|damp|humid)(?: (?:in here|in there|here|outside|inside))?(?! than)"
)
_PATTERNS: Final = tuple((re.compile(rf"(?:{pattern})(?![\w#])"), name) for pattern, name in _EVENTS)


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


def read_event(wish: MarkedWish, start: int, before: Event | None) -> Event | None:
    """Read what happens, or how it is, from this place on. `before` is the event before it ("... or above 30")."""
    best: Event | None = _read_value(wish.text, start, before) or _read_too(wish.text, start)
    for pattern, name in _PATTERNS:
        match = pattern.match(wish.text, start)
        if match is None or (best is not None and match.end() <= best.end):
            continue
        mark = match["mark"] or wish.only(_KIND_OF_NOBODY.get(name, ""))
        if mark is not None:
            best = _event(match.end(), mark, name)
    if best is None:
        return None
    return _with_time(wish.text, best)


def _event(end: int, mark: str, name: str) -> Event:
    trigger, state, opposite = (form.format(thing=words_of(mark), pin=pin_words(mark)) for form in _FORMS[name])
    return Event(end, mark, trigger, state, opposite, name in _STATES)


def _read_value(text: str, start: int, before: Event | None) -> Event | None:
    match = _VALUE.match(text, start)
    quantity: str | None = None
    if match is not None and match["quantity"]:
        quantity = _QUANTITIES[match["quantity"]]
    if match is None and before is not None and before.about in _UNITS.values():
        match = _ONLY_LIMIT.match(text, start)
    if match is None:
        return None
    said = [_UNITS.get(match["unit"] or "")]
    for pattern, name in _BY_WORD:
        if pattern.search(match[0]):
            said.append(name)
    names = {name for name in (quantity, *said) if name is not None}
    if not names and before is not None and before.about in _UNITS.values():
        names = {before.about}
    if not names:
        names = {"temperature"}
    if len(names) > 1:
        return None
    about = names.pop()
    milli = int(match["milli"])
    if " milli" not in match[0]:
        milli *= 1000
    sides = ("above", "below")
    if match["above"] is None:
        sides = ("below", "above")
    unit = {"temperature": " degrees", "humidity": " percent"}.get(about, "")
    words = [f"the {about} is {side} {milli} milli{unit}" for side in sides]
    return Event(match.end(), about, words[0], words[0], words[1])


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
    state = event.state.replace(" is ", " stays ")
    words = f"{state} for {match['ms']}"
    return Event(match.end(), event.about, words, "", "")
