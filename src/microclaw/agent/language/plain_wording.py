"""Writes a sentence in the plain words of the grammar: what a person calls a thing on a pin, and other word orders.

It is for sentences that no template fits as they stand. Only names are dropped; every other word stays, or becomes a
word of the grammar that means the same. It understands nothing: a word that is left over makes no sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from microclaw.agent.language.quantities import BEGINS
from microclaw.agent.language.several_pins import one_by_one

_DETERMINER: Final = r"(?:the|my|our|your|this|a|an)"
# A word that says what is done, when, how much or what not: it is never a part of a name.
NO_NAME: Final = frozenset(
    re.findall(
        r"\w+",
        "no not never cannot dont without except unless until till but only instead rather if when whenever while once "
        "as soon than then and or nor also both all any each every either neither other others same opposite rest "
        "on off at of to in from for by with before after between since during above below over under than past again "
        "is are was were be been has have had do does did should shall must will would can could may might it its that "
        "which who what there here pin pins not turn turns turned switched set sets put puts make makes let lets run "
        "runs start starts stop stops open opens close closes toggle toggles flip flips blink blinks flash flashes "
        "pulse pulses beep beeps buzz buzzes fade fades dim dims wait waits read reads measure log print write tell "
        "warn alert show count keep keeps hold holds play plays sound sounds ring rings heat heats water waters press "
        "presses pressed push pushes pushed released goes gets falls rises drops sees detects notices says detect "
        "second seconds minute minutes hour hours day days week month year morning evening night noon midnight today "
        "tomorrow sunrise sunset clock ms milli period times time twice thrice degrees percent temperature humidity "
        "pressure angle frequency volume speed brightness duty voltage level value state color colour tone pitch "
        "current power width delay timer program count number song melody whole half first last next second third "
        "servo stepper display screen oled lcd strip neopixel matrix rgb potentiometer knob joystick encoder i2c spi "
        "high low inverted active pwm adc analog digital direction signal wave noise data counter schedule rule app "
        "task job code script effect pattern animation rainbow message name use the my our your this a an blinking "
        "flashing fading like near beside behind opposite via against along about me us him her them "
        "traffic police",
    )
)
PLACES: Final = "door|window|gate|lid|hatch|fridge|drawer|box|cupboard|garage|mailbox|letterbox"
COLORS: Final = "red|green|blue|yellow|orange|amber|white"
# A name without an article has only such words before its noun: "activate pump on pin 5" is no thing.
PLAIN_WORDS: Final = frozenset(
    f"{PLACES}|{COLORS}|soil|moisture|motion|movement|presence|pir|front|tank|float|push|reed|magnetic"
    "|garden|desk|room|kitchen|porch|hall|bedroom|cellar|shed|gate|plant|limit|garage|roof|touch|bell".split("|")
)
_VERB_IN_NAME: Final = r"(?:(?:water|stop|start|open|reset|ring|night|morning|evening|power) )?"
OUTPUTS: Final = frozenset(
    re.findall(
        r"\w+",
        "led light lamp relay pump fan heater valve motor siren buzzer bulb output horn bell alarm sprinkler",
    )
)
_INPUTS: Final = {
    "button": "the button", "pushbutton": "the button", "doorbell": "the button", "key": "the button",
    "switch": "the switch",
    "door": "the door contact", "window": "the door contact", "gate": "the door contact",
    "contact": "the door contact", "lid": "the door contact", "hatch": "the door contact",
}  # fmt: skip
_SENSORS: Final = (
    (frozenset({"motion", "movement", "pir", "presence"}), "the motion sensor"),
    (frozenset({"soil", "moisture"}), "the soil sensor"),
)
_NAMED: Final = re.compile(
    rf"\b{_DETERMINER} (?P<name>{_VERB_IN_NAME}(?:(?!(?:{'|'.join(sorted(NO_NAME))})\b)[a-z][a-z'-]* ){{1,4}})"
    r"(?:(?:connected|wired|attached) )?(?:(?:on|at|of|to) )?(?P<pins>pin \d+(?: also pin \d+)*)"
)
_ALSO_VERBS: Final = frozenset({"switch", "light", "key", "lid"})
# "Button on pin 4 toggles ...": a thing that begins the sentence needs no article.
_NOUNS: Final = sorted({*OUTPUTS, *_INPUTS, "pir", "sensor"} - _ALSO_VERBS)
_FIRST: Final = re.compile(
    rf"^(?:(?:{'|'.join(sorted(PLAIN_WORDS))}) )?(?:{'|'.join(_NOUNS)})"
    r"(?: contact| sensor| detector)? (?:(?:connected|wired|attached) )?(?:on|at|to) pin \d+(?= )"
)
_IN_BRACKETS: Final = re.compile(r"\((?P<inner>[^()]{0,30}pin \d+)\),?")
_QUESTION: Final = re.compile(rf"(?:could|can|would|should|is|are|was|does|do|did|has|have|will) {_DETERMINER} ")
_PLACE: Final = r"(?:the [a-z]+(?: contact| sensor)? on )?pin \d+"
_OUT: Final = rf"(?P<out>{_PLACE})"
_LIT: Final = rf"(?P<out>{_PLACE}|the (?:onboard )?led)"
_SOS_MS: Final = 7000
"""SOS takes 5.6 s, and the dark between two words is seven dots long."""
_ENDLESS: Final = r"(?:over and over(?: again)?|again and again|continuously|forever|all the time|repeatedly|in a loop)"
_WARMER: Final = r"(?:above|over|(?:hotter|warmer) than)"
_COLDER: Final = r"(?:below|under|(?:colder|cooler) than)"
_ACTING: Final = {
    "turns": "turn", "switches": "switch", "toggles": "toggle", "starts": "start", "runs": "run", "opens": "open",
    "stops": "stop", "closes": "close", "blinks": "blink", "flashes": "flash", "lights": "light", "flips": "flip",
    "beeps": "beep", "pulses": "pulse",
}  # fmt: skip
_ACTS_OF_THING: Final = "|".join([*_ACTING, *(f"(?:should|shall|must|will) {verb}" for verb in _ACTING.values())])
_A_PRESS: Final = r"(?:a|each|every) press (?:of|on)"
_SOMEBODY: Final = r"(?:i|you|we|they|somebody|someone|anybody|anyone)"
_TO_PURPOSE: Final = r"(?:water|irrigate|sprinkle|feed|heat|warm|cool|light|light up|ventilate|air)"
_SIDE: Final = r"\b(?:above|below|over|under|than|to|at (?=-?\d+ milli))\b"
_OBJECT: Final = rf"{_DETERMINER} (?:(?!(?:{'|'.join(sorted(NO_NAME))})\b)[a-z][a-z'-]* ){{1,3}}"


_ABOVE: Final = frozenset({"above", "over", "warmer than", "hotter than"})
_VALUE: Final = r"(?P<value>it|(?:the )?(?:temperature|humidity))"
_IT: Final = r"(?:it|(?:the )?(?P<value_2>temperature|humidity))"
_UNITS: Final = {"temperature": "degrees", "humidity": "percent"}
_GETS: Final = r"(?:'s|(?: is| gets| goes| rises| climbs| falls| drops)(?: back)?(?: to be)?)"
_LIMIT: Final = (
    r" (?P<side1>above|over|below|under|(?:warmer|hotter|colder|cooler) than)"
    r" (?P<milli1>-?\d+ milli)(?: (?P<unit1>degrees|percent))?"
)
_SWITCHED_ON: Final = rf"(?:turn|switch|run|start|open)(?: on)? {_OUT}(?: on)?"
_OFF_AGAIN: Final = r"(?:(?:and|then|and then|but) )?(?:stop it|(?:turn |switch )?(?:it )?off)(?: again)?"


def _as_two_limits(match: re.Match[str]) -> str:
    """Write "when it is above 28 run pin 5, stop it once it is below 25" with the act first."""
    return _two_limits(match, match["side"], match["milli"], match["side_2"], match["milli_2"])


def _as_kept(match: re.Match[str]) -> str:
    """Write "keep pin 6 on until it reaches 22, start again under 20" with the limit first at which it is on."""
    end = "below" if match["side_2"] in _ABOVE else "above"
    if match["side"] not in (None, "to", "at") and (match["side"] in _ABOVE) != (end == "above"):
        return match[0]
    return _two_limits(match, match["side_2"], match["milli_2"], end, match["milli"])


def _two_limits(match: re.Match[str], side: str, limit: str, back: str, back_limit: str) -> str:
    """Return the order with both limits; the sentence as it is if they are of two quantities or of none."""
    units = {match["unit"], match["unit_2"]} - {None}
    quantity = match["value"].removeprefix("the ")
    if quantity == "it":
        quantity = "temperature"
    if not units <= {_UNITS[quantity]} or match.groupdict().get("value_2") not in (None, quantity):
        return match[0]
    if quantity == "humidity" and " than" in side + back:
        return match[0]
    on = f"turn on {match['out']} when the {quantity} is {_plain_side(side)} {limit}"
    return f"{on} and off again when it is {_plain_side(back)} {back_limit}"


def _plain_side(side: str) -> str:
    if side in _ABOVE:
        return "above"
    return "below"


def _without_otherwise(match: re.Match[str]) -> str:
    """Return the wish without "otherwise leave it off", which the limit says; as it is if it is on for a time."""
    if " for " in match["rest"]:
        return match[0]
    return match["rest"]


def _as_order(match: re.Match[str]) -> str:
    """Write "the button on pin 4 toggles" as "when the button on pin 4 is pressed toggle"."""
    verb = match["verb"].split(" ")[-1]
    return f"when {_begun(match['what'])} {_ACTING.get(verb, verb)} "


def _begun(what: str) -> str:
    """Return what happens at a sensor or a button in the words of the grammar."""
    place = re.sub(rf"^(?:pressing|pushing|{_A_PRESS}|(?:opening|closing)|(?:motion|movement) (?:on|at)) ", "", what)
    if what.startswith("opening"):
        return f"{place} opens"
    if what.startswith("closing"):
        return f"{place} closes"
    if what.startswith(("motion ", "movement ")) or "motion sensor" in place:
        return f"the motion sensor on {place[place.index('pin') :]} sees motion"
    if place.startswith("pin"):
        place = f"the button on {place}"
    return f"{place} is pressed"


_FORMS: Final[tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]] = (
    # Words that change nothing.
    (r"^(?:and|so) (?=(?:what|what's|how|which|who|why|when) )", ""),
    (r"^only (?=(?:on|at) [a-z]+days?\b|at weekends\b)", ""),
    (r"\b(and repeat(?: that| it| this)?) (?:forever|endlessly|again and again)\b", r"\1"),
    # A limit holds both ways: what is on above it is off below.
    (r"^(?P<rest>.*\d milli.*) (?:and |or )?(?:otherwise|else) (?:leave|keep|turn|switch) it off$", _without_otherwise),
    (r"\bonly (?=(?:when|whenever|if|while|as long as) )", ""),
    (r"(?<= in and out) (?:like|as if)(?: it (?:is|was|were))? breathing\b", ""),
    (r"\bsos in morse(?: code)?\b", "sos"),
    # How a light goes on and off.
    (r"^(slowly|gently|softly|quickly) ((?:fade|breathe|dim|blink|flash) .+)$", r"\2 \1"),
    (
        rf"^(?:blink|flash) {_LIT}(?: slowly| quickly| on and off)? (?:with |for )?(?P<on>[1-9]\d* ms) on"
        r"(?: and| then)? (?P<off>[1-9]\d* ms) off$",
        r"turn on \g<out> for \g<on> then wait \g<off> over and over",
    ),
    (rf"^(?:make|let|have) {_LIT} (?:blink|flash|send|signal) (?:an )?sos\b", r"blink sos on \g<out>"),
    (
        rf"^(?:keep|start) (?:blinking|flashing|sending|signalling) (?:an )?sos (?:on|with) {_LIT}$",
        rf"blink sos on \g<out> every {_SOS_MS} ms",
    ),
    (
        rf"^(?:blink|flash|send|signal) (?:an )?sos (?:on|with) {_LIT} {_ENDLESS}$",
        rf"blink sos on \g<out> every {_SOS_MS} ms",
    ),
    # What is measured after its limit, and other words for it.
    (r"\b(?:climbs|rises|goes|gets) past (?=-?\d+ milli)", "rises above "),
    (r"\b(?:falls|drops|sinks) past (?=-?\d+ milli)", "falls below "),
    (r"\b(?:we're|we are) (?:back )?(?=(?:above|below|over|under) -?\d+ milli)", "it is "),
    (
        rf"\b(?:{BEGINS} (?:it(?:'s| is| gets| goes)|there is) )?(?P<side>above|over|below|under)"
        r" (?P<milli>\d+ milli)(?: percent)? humidity\b",
        r"when the humidity is \g<side> \g<milli> percent",
    ),
    # What begins it.
    (
        rf"^(?P<what>(?:pressing|pushing|{_A_PRESS}) (?:the button on )?pin \d+"
        r"|(?:opening|closing) the door contact on pin \d+|(?:motion|movement) (?:on|at) pin \d+"
        rf"|the (?:motion sensor|button) on pin \d+) (?P<verb>{_ACTS_OF_THING}) ",
        _as_order,
    ),
    (rf"^({BEGINS}) {_SOMEBODY} (opens|closes) (the door contact on pin \d+)", r"\1 \3 \2"),
    (rf"^({BEGINS}) {_SOMEBODY} (?:press|presses|push|pushes) (the button on pin \d+)", r"\1 \2 is pressed"),
    (rf"^({BEGINS}) there is (?:motion|movement) (?:on|at) (pin \d+)", r"\1 the motion sensor on \2 sees motion"),
    (r"\bthe switch on (pin \d+) (opens|closes)\b", r"the contact on \1 \2"),
    (r"\bthe soil sensor on (pin \d+) (?:says|reports|shows) (?:it is )?dry\b", r"the soil sensor on \1 is dry"),
    (
        rf"^({BEGINS}) (?:{_SOMEBODY}|something|anything) (?:moves|walks|comes|goes|runs|passes)"
        r"(?: past| by| near| at| in front of| close to)? (the motion sensor on pin \d+)",
        r"\1 \2 sees motion",
    ),
    (r"\b(holds?) down (the button on pin \d+)", r"\1 \2 down"),
    (r"\b(?:keep|keeps) (the button on pin \d+) (?:down|pressed)\b", r"hold \1 down"),
    (rf"\b(?:with|on|at|by) {_A_PRESS} (the button on pin \d+)$", r"when \1 is pressed"),
    (r"\b(?:whenever|when) (the door contact on pin \d+) is (open|closed)\b", r"while \1 is \2"),
    (rf"\b({BEGINS}) (humidity|temperature)\b", r"\1 the \2"),
    # Light until the motion is over.
    (
        r"^when (the motion sensor on pin \d+) sees motion (?:turn|switch) "
        rf"(?:on {_OUT}|{_OUT.replace('out', 'out_2')} on)"
        r" (?:and )?(?:turn |switch )?(?:it )?off (?:again )?(\d+ ms) after the last (?:motion|movement)$",
        lambda match: f"turn on {match['out'] or match['out_2']} for {match[4]} when {match[1]} sees motion",
    ),
    # On for a time that is said after it.
    (
        rf"^(?:turn|switch) (?:on {_OUT}|{_OUT.replace('out', 'out_2')} on) (?P<when>{BEGINS} .{{5,80}}?)"
        r" (?:and|then|and then) (?:keep|leave|let|have) it (?:stay )?(?:on )?"
        r"for (?P<ms>\d+ ms)(?: (?:after|afterwards|after that|longer)(?: (?:the )?last (?:motion|movement))?)?$",
        lambda match: f"turn on {match['out'] or match['out_2']} for {match['ms']} {match['when']}",
    ),
    # What is done.
    (
        rf"\b(?:let|make|have) {_OUT} (?:sound|run|shine|glow|ring|beep|buzz|light up|work|go on|be on)\b",
        r"turn on \g<out>",
    ),
    (rf"\b{_TO_PURPOSE} {_OBJECT}(?:with|using|by|through) {_OUT}(?!.*{_SIDE})", r"turn on \g<out>"),
    (rf"\b(?:sound|ring) {_OUT}", r"turn on \g<out>"),
    (
        rf"^(?:i want|i'd like|i would like) {_OUT} to (?:go|be|come|turn|switch|be turned|be switched) on\b",
        r"turn on \g<out>",
    ),
    (rf"^(?:i want|i'd like|i would like) {_OUT} to (blink|flash|run|toggle|fade)\b", r"\2 \g<out>"),
    (
        rf"^cool {_OBJECT}(?:with|using) {_OUT} {BEGINS} (?:it|the temperature)(?:'s| is| gets) {_WARMER}"
        r" (?P<milli>-?\d+ milli)(?: degrees)?$",
        r"turn on \g<out> when the temperature is above \g<milli>",
    ),
    (
        rf"^(?:heat|warm) {_OBJECT}(?:with|using) {_OUT} {BEGINS} (?:it|the temperature)(?:'s| is| gets) {_COLDER}"
        r" (?P<milli>-?\d+ milli)(?: degrees)?$",
        r"turn on \g<out> when the temperature is below \g<milli>",
    ),
    (r"^(?:run|start) (?P<out>the [a-z]+ on pin \d+|pin \d+(?= for ))", r"turn on \g<out>"),
    (rf"^stop (?P<out>the (?:{'|'.join(sorted(OUTPUTS))}) on pin \d+)", r"turn off \g<out>"),
    (rf"\b{_OUT} (?:should|shall|must) (?:run|start|sound|ring|shine|open)\b", r"turn on \g<out>"),
    (rf"\b{_LIT} (?:should|shall|must|has to|is to|needs to) (?:be|go|stay) (on|off)\b", r"turn \2 \g<out>"),
    (r"^(?:the )?(?:light|lamp|pump|fan|heater) on (pin \d+) (?=(?:from|between) )", r"turn on \1 "),
    (
        rf"^(?:(?:turn|switch) on {_OUT}|(?:run|start) {_OUT.replace('out', 'out_2')}"
        rf"|(?:(?:turn|switch) )?{_OUT.replace('out', 'out_3')} on)"
        r" (?P<side>above|over|below|under) (?P<milli>-?\d+ milli) degrees$",
        lambda match: (
            f"turn on {match['out'] or match['out_2'] or match['out_3']} when the temperature is"
            f" {_plain_side(match['side'])} {match['milli']}"
        ),
    ),
    (
        rf"\b({BEGINS}) it(?:'s| is| gets| goes) (above|over|below|under) (-?\d+ milli degrees)$",
        r"\1 the temperature is \2 \3",
    ),
    # Two limits.
    (
        rf"^{BEGINS} {_VALUE}{_GETS}{_LIMIT.replace('1', '')} {_SWITCHED_ON} {_OFF_AGAIN}"
        rf" {BEGINS} {_IT}{_GETS}{_LIMIT.replace('1', '_2')}$",
        _as_two_limits,
    ),
    (
        rf"^{_SWITCHED_ON} {BEGINS} {_VALUE}{_GETS}{_LIMIT.replace('1', '')} {_OFF_AGAIN}"
        rf"(?: {BEGINS} {_IT}{_GETS})?{_LIMIT.replace('1', '_2')}$",
        _as_two_limits,
    ),
    (
        rf"^keep {_OUT} on until {_VALUE} (?:reaches|gets to|is|gets|rises|climbs|falls|drops)(?: (?P<side>above|over|"
        rf"below|under|to|at))? (?P<milli>-?\d+ milli)(?: (?P<unit>degrees|percent))? (?:and|then|and then) "
        rf"(?:start(?: it| heating| cooling)?|(?:turn|switch) it on|heat|cool) again"
        rf"(?: {BEGINS} {_IT}{_GETS})?{_LIMIT.replace('1', '_2')}$",
        _as_kept,
    ),
    # What is told.
    (rf"\b(?:let me know|notify me|inform me|ping me) (?={BEGINS} )", "warn me "),
    (r"\btell me (?=(?:when|whenever|as soon as) )", "warn me "),
    (r"^(?:write|put) (the [a-z]+) (?:in|into|to) the log (?=every )", r"log \1 "),
    (r"^(?:write down|note(?: down)?|jot down|keep a record of|record) (?=(?:the )?[a-z]+(?: [a-z]+)? every )", "log "),
)  # fmt: skip
_REWRITES: Final = tuple((re.compile(pattern), replacement) for pattern, replacement in _FORMS)


def plain_wording(normal: str) -> str:
    """Return a sentence in its normal form (quantities.py) with plain names, and in the word order of the grammar."""
    if _QUESTION.match(normal):
        return normal
    text = _IN_BRACKETS.sub(r"\g<inner>", normal)
    text = re.sub(r"[,;:](?= |$)", "", text)
    text = _FIRST.sub(r"the \g<0>", text)
    text = _NAMED.sub(_plain_name, text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return one_by_one(text)


def _plain_name(match: re.Match[str]) -> str:
    """Return the kind of the thing that is named, or the pin alone if the name is of no kind."""
    words = match["name"].split()
    head = words[-1]
    pins = match["pins"]
    if " also " in pins and head.removesuffix("s") in OUTPUTS:
        return pins
    if " also " in pins:
        return match[0]
    for names, kind in _SENSORS:
        if not names.isdisjoint(words) and head not in OUTPUTS:
            return f"{kind} on {pins}"
    if head in _INPUTS:
        return f"{_INPUTS[head]} on {pins}"
    if head in OUTPUTS:
        return f"the {head} on {pins}"
    if head.endswith(("sensor", "detector", "meter", "probe", "sensors", "ing")):
        return match[0]
    return pins
