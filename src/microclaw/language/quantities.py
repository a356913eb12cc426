"""Rewrites numbers with units in one normal form. It knows no sentences, but a yes and a no.

Times become whole milliseconds ("every half second" -> "every 500 ms"), rates a period ("twice a second" ->
"period 500 ms", "3 Hz" -> "period 333333333 ns"), other quantities whole thousandths ("28.5 °C" -> "28500 milli
degrees"), pins "pin N" and several of them "pin N also pin M", times of day "clock 0645". Sentence templates then need
one form each. hassil reads number words too, but only as whole numbers of a fixed range.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from microclaw.tables import read_table

_TABLE = read_table(__package__, "quantities")
ONES: dict[str, int] = _TABLE["ones"]
TENS: dict[str, int] = _TABLE["tens"]
_TIME_MS: dict[str, int] = _TABLE["time_ms"]
_UNITS: dict[str, Any] = _TABLE["units"]
YES = frozenset(_TABLE["yes"])
NO = frozenset(_TABLE["no"])
_TIME, _UNIT = (
    "|".join(re.escape(unit) + "s?" * (len(unit) > 2) for unit in sorted(units, key=len, reverse=True))
    for units in (_TIME_MS, _UNITS)
)
_ONCE = r"\b(?:once|1 times?|(?:1|a) (?:cycle|flash|blink)) (?:every|each|per) (?=\d+ ms\b)"
_LIMIT = r"setpoint(?: of| to| at)?|target(?: of)?|above|below|over|under|than|exceeds|reaches|past|at"
_PLUS_MINUS = r"(?:\+ ?/? ?-|±|plus[ -]?(?:or )?[ /-]?minus)"
_FAHRENHEIT = r"° ?f|degrees? (?:f|fahrenheit)|fahrenheit"
_CELSIUS = r"° ?c?|degrees?(?: (?:c|celsius|centigrade))?|celsius"
NUMBER_WORDS = frozenset({*ONES, *TENS, "hundred", "thousand", "half", "quarter", "once", "twice"})
_NUMBER = r"(?<![\w.])(?<!pin )-?\d+(?:\.\d+)?"
_OF = r"(?: ?/ ?(\d+(?:\.\d+)?))?"  # 1/2
_COUNT = r"(?<![\d./])(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))? ?(?:times?|x)"
_PIN = r"(?:gpio pins?|gpios?|ios?|pin numbers?|pin no\.?|pins?)"
_LISTED = rf"(?:{_PIN}[ _]*)?#?(?<![.:])\d{{1,3}}(?![\d.:%])"
_BELOW_100 = rf"(?:(?:{'|'.join(TENS)})(?:[ -](?:{'|'.join(list(ONES)[1:10])}))?|(?:{'|'.join(ONES)}))"
_MARKS = str.maketrans(_TABLE["marks"])


@lru_cache(64)  # a turn reads its sentence several times
def normalize_quantities(text: str) -> str:
    """The sentence in lower case, one space between words, every quantity in its one form."""
    said = text.translate(_MARKS).lower()
    for pattern, written in _STEPS:
        said = pattern.sub(written, said)
    return said


def plain(said: str) -> str:
    """The sentence without commas, as the sets of a yes and a no have it."""
    return normalize_quantities(said).replace(",", "")


def said_yes(said: str) -> bool:
    return plain(said) in YES


def said_no(said: str) -> bool:
    return plain(said) in NO


def _digits(match: re.Match[str]) -> str:
    """ "two hundred and fifty" -> "250"."""
    number = 0
    for word in re.split(r"[ -]", match[0]):
        if word == "hundred":
            number = number * 100
        else:
            number = number + ONES.get(word, TENS.get(word, 0))
    return str(number)


def _pin_list(match: re.Match[str]) -> str:
    """ "pins 4, 5 and 6" -> "pin 4 also pin 5 also pin 6"."""
    return " also ".join(f"pin {int(number)}" for number in re.findall(r"\d+", match[0]))


def _clock(match: re.Match[str]) -> str:
    """ "6:45 pm" -> "clock 1845"; what is no time of day stays as it is."""
    hour = int(match[1] or match[4])
    minute = int(match[2] or 0)
    half = match[3] or match[5]
    if hour > 24 or minute > 59 or (match[2] and "." in match[0][:3] and not half):
        return match[0]
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return f"clock {hour:02d}{minute:02d}"


def _rate(match: re.Match[str]) -> str:
    """ "twice a minute" or "1/2 times a second" as a period."""
    word, number, below, unit = match.groups()
    if number:
        count = _ratio(number, below)
    else:
        count = Fraction(_TABLE["times"][word])
    return _period(count * Fraction(1000, _TIME_MS[unit]))


def _period(hertz: Fraction) -> str:
    """The period of a rate, in whole milliseconds or else in nanoseconds."""
    if hertz > 0:
        time_ms = 1000 / hertz
    else:
        time_ms = Fraction(0)
    if time_ms.denominator == 1:
        return f"period {time_ms} ms"
    return f"period {round(time_ms * 1_000_000)} ns"


def _whole_ms(match: re.Match[str]) -> str:
    """A time in milliseconds; one that is not whole fits no template."""
    time_ms = _ratio(match[1], match[2]) * (_TIME_MS.get(match[3]) or _TIME_MS[match[3][:-1]])
    if time_ms.denominator == 1:
        return f"{time_ms} ms"
    return "uneven ms"


def _ratio(number: str, below: str | None) -> Fraction:
    """ "1/2" or "3"; 0, which is no rate and no time, for what is divided by 0."""
    divisor = Fraction(below or 1)
    if divisor:
        return Fraction(number) / divisor
    return Fraction(0)


def _milli(number: str) -> str:
    return f"{round(Fraction(number) * 1000)} milli"


def _amount(match: re.Match[str]) -> str:
    number = Fraction(match[1])
    name = match[2]
    if re.fullmatch(_FAHRENHEIT, name):
        number = (number - 32) * 5 / 9
    unit, milli = _UNITS.get(name) or _UNITS.get(name[:-1]) or ("degrees", 1000)
    return f"{round(number * milli)} milli {unit}"


_FORMS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"(?<![\w.:/-])(\d+) ?h(?:rs?)? ?([0-5]?\d) ?m(?:ins?)?(?!\w)", r"\1 h \2 min"),  # an "m" alone is no unit
    (r"(?<![\w.:/-])(\d+) ?m(?:ins?)? ?([0-5]?\d) ?s(?:ecs?)?(?!\w)", r"\1 min \2 s"),
    (r"(-+>)|(<=?|≤)|>=?|≥", lambda m: " to " if m[1] else " below " if m[2] else " above "),
    (r"\s+", " "),
    (r"^ |[\s.!?,;:]+$", ""),
    (rf"\b(?:(?:{'|'.join(ONES)}) hundred(?:(?: and)? {_BELOW_100})?|{_BELOW_100})\b", _digits),
    (r"(\d) point (\d)(?! \d)", r"\1.\2"),
    (r"(?<!\bplus )(?<!\bor )(?<!\d )(?:\b(?:minus|negative) |(?<= )- )(?=\d)", "-"),
    (r"\b(\d+) ?x\b", r"\1 times"),
    (r"\b1 (?=half\b|quarter\b)", "a "),
    (r"\b(pin|output|gpio|relay|channel|input) (?:number|no\.?|nr\.?) (?=\d)", r"\1 "),
    (
        # Bare numbers are pins only after a word that pins follow: "leds 1 and 2" are not pins 1 and 2.
        rf"(?:\b{_PIN}[ _]?#?|(?<!\w)#|^|(?<=\bon )|(?<=\boff )|(?<=\bat )|(?<=\bof )|(?<=\bset )|(?<=\bturn )"
        rf"|(?<=\bswitch )|(?<=\bdrive )|(?<=\bpull )|(?<=\busing )|(?<=\bwith ))"
        rf"{_LISTED}(?:(?:,? and |, ?| ?& ?| ?\+ ?|, ?and){_LISTED})+"
        rf"(?! ?(?:{_TIME}|{_UNIT}|times?|x|degrees?|°|c|f|k?hz|milli)(?!\w))",
        _pin_list,
    ),
    (r"\b(?:pins|gpios|ios|gpio pins)((?: \d{1,3}){2,}(?:,? (?:and|&) \d{1,3})?)(?![\w.%])", _pin_list),
    (r"(?<=\w)[,;:](?= )", ""),
    (r"(?<!\d )\b(?:a )?(hundred|thousand)\b", lambda m: "100" if m[1] == "hundred" else "1000"),
    (rf"\b{_PIN}(?:[ _]*#?|-)(\d{{1,4}})\b|(?<!\w)#(\d{{1,4}})\b", lambda m: f"pin {int(m[1] or m[2])}"),
    (r"(?<![\w-])(?:noon|midday|(midnight))(?![\w-])", lambda m: "clock 0000" if m[1] else "clock 1200"),
    (r"\b(\d{1,2})[:.h](\d\d)(?: ?([ap])\.?m\b\.?)?(?![\w.])|\b(\d{1,2}) ?(?:([ap])\.?m\b\.?|o'clock)(?!\w)", _clock),
    (r"(?<=\d)-(?=(?:milli)?(?:second|sec|minute|min|hour|hr)s?\b)", " "),  # "30-second intervals"
    (r"(?<!half[ -])(?<!quarter[ -])\b(?:hourly|on the hour)\b", "every 1 hour"),
    (rf"\b(once|twice|thrice|{_COUNT}) (?:a|an|per|each|in a) (second|sec|s|minute|min|hour)\b", _rate),
    (rf"\b(?:each|every) other ({_TIME})\b", r"every 2 \1"),
    (r"\ban? (second|sec|minute|min|hour) and a half\b", r"1.5 \1"),
    (r"(\d+) and (?:a )?half\b(?: an?\b)?", r"\1.5"),
    (rf"(\d+) ({_TIME}) and (?:a )?half\b", r"\1.5 \2"),
    (
        r"\b(?:a )?(half|quarter)(?:[ -](?:of )?(?:a|an))?[ -](?=second|sec|minute|min|hour|s\b|hertz|hz)",
        lambda m: "0.5 " if m[1] == "half" else "0.25 ",
    ),
    (r"\b(?:an? |((?:each|every|per) ))(second|sec|minute|min|hour|millisecond|ms)\b", r"\g<1>1 \2"),
    (
        rf"(?<!/)(?<!/ )({_NUMBER}){_OF} ?(?:(k?)(?:hz|hertz|herz)|(?:/ ?|per |a )(?:s|sec|second))\b",
        lambda m: _period(_ratio(m[1], m[2]) * (1000 if m[3] else 1)),
    ),
    (rf"(?<![\w./])(\d+(?:\.\d+)?){_OF} ?({_TIME})(?!\w)", _whole_ms),
    (r"\d+ ms(?:(?: and)? \d+ ms)+", lambda m: f"{sum(int(n) for n in m[0].split() if n.isdigit())} ms"),
    # "Every 5 seconds" may be the time between two changes of a light; one flash every 5 seconds is not.
    (rf"^(?=.*\b(?:blink|flash|flicker|wink|strobe))(.*?){_ONCE}", r"\1period "),
    (_ONCE, "every "),
    (rf"{_PLUS_MINUS} ?(\d+(?:\.\d+)?)(?: ?(?:{_CELSIUS}|k|%|percent))?(?!\w)", lambda m: f"plusminus {_milli(m[1])}"),
    (rf"({_NUMBER}) ?({_FAHRENHEIT}|{_CELSIUS}|c|{_UNIT})(?!\w)", _amount),
    (rf"\b({_LIMIT}) ({_NUMBER})(?! ?(?:milli|ms|hz|\d|quarter))(?=$| |,)", lambda m: f"{m[1]} {_milli(m[2])}"),
)
"""Each pattern of a quantity and how it is written, in the order in which they are applied."""
_STEPS = tuple((re.compile(pattern), written) for pattern, written in _FORMS)
