"""Writes wishes of which a part is missing as sentences with holes (unfinished.py): an open trigger, act or time.

A part whose words are not in these tables makes the whole wish None: it asks for nothing that was not said.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.agent.language.quantities import BEGINS, normalize_quantities
from microclaw.agent.language.times import spoken_duration

_LEAD: Final = re.compile(
    r"^(?:(?:please|kindly|can you|could you|would you|will you|i want you to|i would like you to|hey|and|so)[ ,]+)+"
)
_TAIL: Final = re.compile(r"(?:[ ,]+(?:please|thanks|thank you|will you|would you|ok|okay))+$")
_THING: Final = (
    r"(?!led\b|it\b|other\b|thing\b|program\b|everything\b|all\b)[a-z]+"
    r"(?: (?!on\b|off\b|to\b|for\b|when\b|if\b)[a-z]+)?"
)
_AT: Final = r"(?: (?:on|at) (?:pin )?(?P<pin>\d{1,2}))?"
_THE: Final = r"(?:the|my|our|a|an)"
_VESSEL: Final = rf"(?P<thing>[a-z]+(?: in {_THE} [a-z]+(?: [a-z]+)?)?)"
_MIDDLE: Final = re.compile(rf"(?P<act>.+?),? {BEGINS} (?P<trigger>.+)")
_FIRST: Final = re.compile(
    rf"{BEGINS} (?P<trigger>.+?)(?:,| then)? "
    r"(?P<act>(?:turn|switch|put|start|stop|run|let|ring|sound|beep|buzz)\b.*)"
)
_PLACE: Final = re.compile(r" in (?:the|my|our) [a-z]+(?: [a-z]+)?$")

# What begins it: a pattern, and the words with a hole.
_TRIGGERS: Final = (
    (
        r"(?:there is |there's )?(?:some|any)(?:body|one)(?: is| comes| stands| rings| knocks)? "
        rf"(?:at|to|in front of|on) {_THE} (?:front |back )?(?:door|gate|doorstep|porch)",
        "the motion sensor on pin {{pin:motion sensor}} sees somebody",
    ),
    (
        rf"(?:{_THE} )?(?!air|room|humidity)(?P<thing>[a-z]+)"
        r"(?: get| gets| is| are| becomes| become| looks| look)(?: too| very)? dry",
        "the soil sensor on pin {{pin:soil sensor of the {thing}}} is dry",
    ),
    (
        rf"{_THE} {_VESSEL}(?: level)?(?: is|'s| gets| runs)(?: too)? (?:low|empty|dry|out)",
        "pin {{pin:level sensor of the {thing} (low means empty)}} goes low",
    ),
    (
        rf"{_THE} {_VESSEL}(?: level)?(?: is|'s| gets)(?: too)? (?:high|full)",
        "pin {{pin:level sensor of the {thing} (high means full)}} goes high",
    ),
    (r"it (?:gets|is|becomes|grows)(?: too| very) (?:hot|warm)", "the temperature is above {{degrees:above}} degrees"),
    (r"it (?:gets|is|becomes|grows)(?: too| very) (?:cold|cool)", "the temperature is below {{degrees:below}} degrees"),
    (r"it (?:gets|is|becomes|grows)(?: too| very) (?:humid|damp)", "the humidity is above {{percent:above}} percent"),
)
# What it does: a pattern, and the words with the pin of its thing.
_ACTS: Final = (
    (rf"(?:turn|switch|put) on {_THE} (?P<thing>{_THING}){_AT}", "turn on pin {place}"),
    (rf"(?:turn|switch|put) {_THE} (?P<thing>{_THING}){_AT} on", "turn on pin {place}"),
    (rf"(?:start|run) {_THE} (?P<thing>{_THING}){_AT}", "turn on pin {place}"),
    (rf"let {_THE} (?P<thing>{_THING}){_AT} (?:run|go|start)", "turn on pin {place}"),
    (rf"(?:turn|switch|put) off {_THE} (?P<thing>{_THING}){_AT}", "turn off pin {place}"),
    (rf"(?:turn|switch|put) {_THE} (?P<thing>{_THING}){_AT} off", "turn off pin {place}"),
    (rf"stop {_THE} (?P<thing>{_THING}){_AT}", "turn off pin {place}"),
    (rf"(?:ring|sound) {_THE} (?P<thing>{_THING}){_AT} (?P<times>\d{{1,2}}) times", "blink pin {place} {times} times"),
    (rf"(?:ring|sound) {_THE} (?P<thing>{_THING}){_AT}", "turn on pin {place} for {{duration}}"),
    (r"(?:beep|buzz)(?: (?P<times>\d{1,2}) times)?", "blink pin {place} {times} times"),
)
# A whole wish, and the sentence with its holes.
_WISHES: Final = (
    (
        rf"(?:make|let) {_THE} servo{_AT} (?:move|turn|go) to {_THE} [a-z]+ position (?P<when>at .+)",
        "turn the servo on pin {place} to {{degrees:to}} degrees {when}",
    ),
    (
        rf"{_THE}? ?servo{_AT},? (?:move|turn) (?:it )?a (?:little )?bit",
        "turn the servo on pin {place} to {{degrees:to}} degrees",
    ),
    (
        r"wake (?:me|us)(?: up)?(?: (?P<when>tomorrow|every day|every morning))? with (?:the|my) (?P<thing>[a-z]+)"
        rf"{_AT}",
        "turn on pin {place} {when} at {{clock}}",
    ),
    (
        rf"(?:run|start) {_THE} (?P<thing>{_THING}){_AT} a (?:little bit|little|bit|while) longer"
        r"(?: than (?:before|last time))?",
        "turn on pin {place} for {{duration}}",
    ),
    (
        r"(?:shut|close|open|let|lock) (?:the|my) (?P<thing>[a-z]+) (?:in|out|up) "
        r"(?P<when>at (?:dusk|dawn|sunset|sunrise))",
        "turn the servo on pin {{pin:servo of the door for the {thing}}} to {{degrees:to}} degrees {when}",
    ),
    (
        rf"i(?:'ve| have)? (?:just )?(?:joined|wired|connected|added|fixed|got|attached) {_THE} (?:new )?"
        rf"(?P<thing>{_THING}){_AT}(?: for [a-z ]+?)?,? (?:and )?it (?:should|shall|must|has to) (?:run|be on|go on) "
        r"(?P<when>every (?:day|morning|evening|night)) for (?P<ms>\d+) ms",
        "turn on pin {place} for {duration} {when} at {{clock}}",
    ),
    (r"remind me later(?: on)? (?P<what>(?:to|that|about) .+)", "remind me at {{clock}} {what}"),
    (
        r"(?:blink|flash) (?:the )?[a-z ]+? on pin (?P<pin>\d{1,2}) and the other (?:one|1) "
        r"(?:by turns|in turns?|alternately)",
        "turn on pin {place} and pin {{pin:other one}} in turn every 500 ms",
    ),
    (
        rf"make {_THE} (?P<thing>light|lamp|bulb){_AT} (?:a (?:little )?(?:bit )?)?(?:brighter|darker|dimmer)",
        "dim pin {place} to {{percent:to}} percent",
    ),
    (
        rf"(?:hook|connect|wire|link) {_THE} (?:reed switch|door contact|reed contact|door switch)(?: up)? (?:to|with) "
        rf"{_THE} (?P<thing>{_THING})",
        "turn on pin {place} while the door contact on pin {{pin:reed switch (while it is open)}} is open",
    ),
)
_WATER: Final = re.compile(
    rf"water {_THE} (?!pump\b|valve\b|heater\b)[a-z]+(?: [a-z]+)??"
    r"(?: (?P<days>every (?:day|morning|evening|night|2 days|so often)|daily|now and then|regularly))?"
)
_DAYS: Final = {"daily": "every day"}
_OFTEN: Final = frozenset({"every so often", "now and then", "regularly"})
_WIRED: Final = re.compile(
    rf",? (?:{_THE} (?P<thing>[a-z]+) (?:is|hangs|sits) (?:on|at) pin (?P<pin>\d{{1,2}})"
    r"|(?P<short>\d{1,2})(?:'s| is) the [a-z]+)$"
)
_SECOND_DAY: Final = re.compile(r"\bevery (?:second|other|1000 ms) day\b")


def open_wish(text: str) -> list[str]:
    """Return the sentences with holes that may be meant, the best first; nothing if the tables lack the wish."""
    normal = _TAIL.sub("", _LEAD.sub("", normalize_quantities(text).strip(" .!?,")))
    normal = _SECOND_DAY.sub("every 2 days", normal)
    watering = _open_watering(normal)
    if watering is not None:
        return [watering]
    for pattern, template in _WISHES:
        match = re.fullmatch(pattern, normal)
        if match is not None:
            return [re.sub(r" +", " ", _fill(template, match))]
    return _open_rule(normal)


def _open_watering(normal: str) -> str | None:
    """Write "water the tomatoes every day, 39's the valve" as a valve that is open for a time."""
    wired = _WIRED.search(normal)
    rest = normal
    place = "{pin:pump or valve}"
    if wired is not None:
        rest = normal[: wired.start()]
        place = wired["pin"] or wired["short"]
    match = _WATER.fullmatch(rest)
    if match is None:
        return None
    days = match["days"]
    if days in _OFTEN:
        return f"turn on pin {place} for {{duration}} every {{duration:every how long}}"
    if days is None:
        return f"turn on pin {place} for {{duration}}"
    return f"turn on pin {place} for {{duration}} {_DAYS.get(days, days)} at {{clock}}"


def _open_rule(normal: str) -> list[str]:
    """Write "if somebody is at the door ring the bell" with the holes of its trigger and its act."""
    match = _FIRST.fullmatch(normal) or _MIDDLE.fullmatch(normal)
    if match is None:
        return []
    trigger = _open_part(_PLACE.sub("", match["trigger"].strip(" ,")), _TRIGGERS)
    if trigger is None:
        trigger = _open_part(match["trigger"].strip(" ,"), _TRIGGERS)
    act = _open_part(match["act"], _ACTS)
    if trigger is None or act is None:
        return []
    return [
        f"when {trigger} {act}",
        f"{act} when {trigger}",
        f"{act} for {{duration}} when {trigger}",
    ]


def _open_part(words: str, table: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, template in table:
        match = re.fullmatch(pattern, words)
        if match is not None:
            return _fill(template, match)
    return None


def _fill(template: str, match: re.Match[str]) -> str:
    """Write the words of a match into a template; a thing without a pin becomes the hole for it."""
    groups = match.groupdict()
    thing = groups.get("thing") or "buzzer"
    if "servo" in template:
        thing = groups.get("thing") or "servo"
    place = groups.get("pin") or f"{{pin:{thing}}}"
    milliseconds = groups.get("ms")
    return template.format(
        place=place,
        thing=thing,
        times=groups.get("times") or "3",
        when=_sun_words(groups.get("when") or ""),
        what=groups.get("what") or "",
        duration=spoken_duration(int(milliseconds)) if milliseconds else "",
    )


def _sun_words(when: str) -> str:
    """Write "at clock 1200" as people do, and dusk as sunset."""
    when = re.sub(r"\bclock (\d\d)(\d\d)\b", r"\1:\2", when)
    return when.replace("dusk", "sunset").replace("dawn", "sunrise")
