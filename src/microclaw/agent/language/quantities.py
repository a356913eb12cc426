"""Rewrites numbers with units in one normal form. Parses no sentences, except a yes and a no.

Times become whole milliseconds ("every half second" -> "every 500 ms"), rates a period ("twice a second" ->
"period 500 ms", "3 Hz" -> "period 333333333 ns"), other quantities whole thousandths ("28.5 °C" -> "28500 milli
degrees"), pins "pin N" and several of them "pin N also pin M", times of day "clock 0645". Sentence templates then need
one form each. hassil reads number words too, but only as whole numbers of a fixed range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
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
BEGINS = r"(?:when|whenever|if|as soon as|every time|each time|once)"
"""A pattern for the words before what begins an act."""
NEGATIONS = r"not?|never|cannot|dont|unless|\w+n['’]t"
"""A pattern for the words that make a sentence mean its opposite, or something that no template says."""


def _any_of(units: Iterable[str]) -> str:
    """Build a pattern for these units, the longest first; a unit of three letters or more may have a plural "s"."""
    patterns = []
    for unit in sorted(units, key=len, reverse=True):
        plural = "s?" if len(unit) > 2 else ""
        patterns.append(f"{re.escape(unit)}{plural}")
    return "|".join(patterns)


_TIME = _any_of(_TIME_MS)
_UNIT = _any_of(_UNITS)
_ONCE = r"\b(?:once|1 times?|(?:1|a) (?:cycle|flash|blink)) (?:every|each|per) (?=\d+ ms\b)"
_LIMIT = r"setpoint(?: of| to| at)?|target(?: of)?|above|below|over|under|than|exceeds|reaches|past|at"
_PLUS_MINUS = r"(?:\+ ?/? ?-|±|plus[ -]?(?:or )?[ /-]?minus)"
_FAHRENHEIT = r"° ?f|degrees? (?:f|fahrenheit)|fahrenheit"
_CELSIUS = r"° ?c?|degrees?(?: (?:c|celsius|centigrade))?|celsius"
NUMBER_WORDS = frozenset({*ONES, *TENS, "hundred", "thousand", "half", "quarter", "once", "twice"})
_NUMBER = r"(?<![\w.])(?<!pin )-?\d+(?:\.\d+)?"
_OF = r"(?: ?/ ?(\d+(?:\.\d+)?))?"  # 1/2
_DAY_MS = 86_400_000
_AT_MOST = r"(?:at (?:the )?most|(?:no|not|never) more(?: often)? than|a maximum of|maximum|max|up to)"
_COUNT = r"(?<![\d./])(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))? ?(?:times?|x)"
_PIN = r"(?:gpio pins?|gpios?|ios?|pin numbers?|pin no\.?|pins?)"
_LISTED = rf"(?:{_PIN}[ _]*)?#?(?<![.:])\d{{1,3}}(?![\d.:%])"
_BELOW_100 = rf"(?:(?:{'|'.join(TENS)})(?:[ -](?:{'|'.join(list(ONES)[1:10])}))?|(?:{'|'.join(ONES)}))"
_HUNDREDS = {"hundred": "100", "thousand": "1000"}
_PARTS = {"half": "0.5 ", "quarter": "0.25 "}
_MARKS = str.maketrans(_TABLE["marks"])


# A turn reads its sentence several times.
@lru_cache(64)
def normalize_quantities(text: str) -> str:
    """Return the sentence in lower case, with one space between words and every quantity in its normal form."""
    normal = text.translate(_MARKS).lower()
    for pattern, replacement in _STEPS:
        normal = pattern.sub(replacement, normal)
    return normal


def without_commas(said: str) -> str:
    """Return the normal form without commas, to compare it with YES and NO."""
    return normalize_quantities(said).replace(",", "")


def is_yes(said: str) -> bool:
    """Return True if the sentence means only "yes"."""
    return without_commas(said) in YES


def is_no(said: str) -> bool:
    """Return True if the sentence means only "no"."""
    return without_commas(said) in NO


def _write_digits(match: re.Match[str]) -> str:
    """Write "two hundred and fifty" as "250"."""
    number = 0
    for word in re.split(r"[ -]", match[0]):
        if word == "hundred":
            number = number * 100
        else:
            number = number + ONES.get(word, TENS.get(word, 0))
    return str(number)


def _write_pins(match: re.Match[str]) -> str:
    """Write "pins 4, 5 and 6" as "pin 4 also pin 5 also pin 6"."""
    return " also ".join(f"pin {int(number)}" for number in re.findall(r"\d+", match[0]))


def _write_clock(match: re.Match[str]) -> str:
    """Write "6:45 pm" as "clock 1845". Keep the text if it is not a time of day."""
    hour = int(match[1] or match[4])
    minute = int(match[2] or 0)
    half = match[3] or match[5]
    is_decimal = match[2] and "." in match[0][:3] and not half
    if hour > 24 or minute > 59 or is_decimal:
        return match[0]
    if half:
        hour = hour % 12
    if half == "p":
        hour += 12
    return f"clock {hour:02d}{minute:02d}"


def _write_comparison(match: re.Match[str]) -> str:
    """Write an arrow as "to", "<" as "below" and ">" as "above"."""
    if match[1]:
        return " to "
    if match[2]:
        return " below "
    return " above "


def _write_noon(match: re.Match[str]) -> str:
    if match[1]:
        return "clock 0000"
    return "clock 1200"


def _write_rate(match: re.Match[str]) -> str:
    """Write "twice a minute" or "1/2 times a second" as a period."""
    word, number, divisor, unit = match.groups()
    if number:
        count = _parse_ratio(number, divisor)
    else:
        count = Fraction(_TABLE["times"][word])
    return _write_period(count * Fraction(1000, _TIME_MS[unit]))


def _write_limit(match: re.Match[str]) -> str:
    """Write "at most 3 times a day" as "at most 3 times per 86400000 ms"."""
    word, number, unit = match.groups()
    count = number or str(_TABLE["times"][word])
    window_ms = _TIME_MS.get(unit, _DAY_MS)
    if count == "1":
        return f"at most once every {window_ms} ms"
    return f"at most {count} times per {window_ms} ms"


def _write_hertz(match: re.Match[str]) -> str:
    """Write "5 Hz", "2 kHz" or "1/2 per second" as a period."""
    hertz = _parse_ratio(match[1], match[2])
    if match[3]:
        hertz *= 1000
    return _write_period(hertz)


def _write_period(hertz: Fraction) -> str:
    """Return the period of a rate in whole milliseconds, or else in nanoseconds; 0 ms for a rate of 0."""
    if hertz > 0:
        time_ms = 1000 / hertz
    else:
        time_ms = Fraction(0)
    if time_ms.denominator == 1:
        return f"period {time_ms} ms"
    return f"period {round(time_ms * 1_000_000)} ns"


def _write_time(match: re.Match[str]) -> str:
    """Write a time in milliseconds. If it is not a whole number, return words that no template matches."""
    unit = match[3]
    unit_ms = _TIME_MS.get(unit) or _TIME_MS[unit[:-1]]
    time_ms = _parse_ratio(match[1], match[2]) * unit_ms
    if time_ms.denominator == 1:
        return f"{time_ms} ms"
    return "uneven ms"


def _write_sum(match: re.Match[str]) -> str:
    """Write "60000 ms and 500 ms" as "60500 ms"."""
    total_ms = sum(int(word) for word in match[0].split() if word.isdigit())
    return f"{total_ms} ms"


def _parse_ratio(number: str, divisor: str | None) -> Fraction:
    """Parse "1/2" or "3". Return 0 if the divisor is 0."""
    denominator = Fraction(divisor or 1)
    if denominator:
        return Fraction(number) / denominator
    return Fraction(0)


def _write_milli(number: str) -> str:
    return f"{round(Fraction(number) * 1000)} milli"


def _write_amount(match: re.Match[str]) -> str:
    """Write "28.5 °C" as "28500 milli degrees". Fahrenheit becomes Celsius."""
    number = Fraction(match[1])
    name = match[2]
    if re.fullmatch(_FAHRENHEIT, name):
        number = (number - 32) * 5 / 9
    unit, milli = _UNITS.get(name) or _UNITS.get(name[:-1]) or ("degrees", 1000)
    return f"{round(number * milli)} milli {unit}"


_FORMS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # "2 h 30 m": only after hours is an "m" a unit.
    (r"(?<![\w.:/-])(\d+) ?h(?:rs?)? ?([0-5]?\d) ?m(?:ins?)?(?!\w)", r"\1 h \2 min"),
    (r"(?<![\w.:/-])(\d+) ?m(?:ins?)? ?([0-5]?\d) ?s(?:ecs?)?(?!\w)", r"\1 min \2 s"),
    (r"(-+>)|(<=?|≤)|>=?|≥", _write_comparison),
    (r"\s+", " "),
    (r"^ |[\s.!?,;:]+$", ""),
    (rf"\b(?:(?:{'|'.join(ONES)}) hundred(?:(?: and)? {_BELOW_100})?|{_BELOW_100})\b", _write_digits),
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
        _write_pins,
    ),
    (r"\b(?:pins|gpios|ios|gpio pins)((?: \d{1,3}){2,}(?:,? (?:and|&) \d{1,3})?)(?![\w.%])", _write_pins),
    (r"(?<=\w)[,;:](?= )", ""),
    (r"(?<!\d )\b(?:a )?(hundred|thousand)\b", lambda m: _HUNDREDS[m[1]]),
    (rf"\b{_PIN}(?:[ _]*#?|-)(\d{{1,4}})\b|(?<!\w)#(\d{{1,4}})\b", lambda m: f"pin {int(m[1] or m[2])}"),
    (r"(?<![\w-])(?:noon|midday|(midnight))(?![\w-])", _write_noon),
    (
        r"\b(\d{1,2})[:.h](\d\d)(?: ?([ap])\.?m\b\.?)?(?![\w.])|\b(\d{1,2}) ?(?:([ap])\.?m\b\.?|o'clock)(?!\w)",
        _write_clock,
    ),
    # "30-second intervals"
    (r"(?<=\d)-(?=(?:milli)?(?:second|sec|minute|min|hour|hr)s?\b)", " "),
    (r"(?<!half[ -])(?<!quarter[ -])\b(?:hourly|on the hour)\b", "every 1 hour"),
    (
        rf"\b{_AT_MOST} (?:(once|twice|thrice)|(\d+) times?)"
        r" (?:an?|per|each|every|in (?:an?|any|1|every)|within an?) (second|sec|s|minute|min|hour|day)\b",
        _write_limit,
    ),
    (r"\bin the (morning|afternoon|evening)s\b", r"every \1"),
    (r"\b(?:(?:on|every|each|all) )?(?:the )?(?:workdays?|working days?|work days)\b", "every weekday"),
    (rf"\b(once|twice|thrice|{_COUNT}) (?:a|an|per|each|in a) (second|sec|s|minute|min|hour)\b", _write_rate),
    (rf"\b(?:each|every) other ({_TIME})\b", r"every 2 \1"),
    (r"\ban? (second|sec|minute|min|hour) and a half\b", r"1.5 \1"),
    (r"(\d+) and (?:a )?half\b(?: an?\b)?", r"\1.5"),
    (rf"(\d+) ({_TIME}) and (?:a )?half\b", r"\1.5 \2"),
    (
        r"\b(?:a )?(half|quarter)(?:[ -](?:of )?(?:a|an))?[ -](?=second|sec|minute|min|hour|s\b|hertz|hz)",
        lambda m: _PARTS[m[1]],
    ),
    (r"\b3 quarters of an? (?=hour|minute|min\b)", "0.75 "),
    (r"\b(?:an? |((?:each|every|per) ))(second|sec|minute|min|hour|millisecond|ms)\b", r"\g<1>1 \2"),
    (
        rf"(?<!/)(?<!/ )({_NUMBER}){_OF} ?(?:(k?)(?:hz|hertz|herz)|(?:/ ?|per |a )(?:s|sec|second))\b",
        _write_hertz,
    ),
    (rf"(?<![\w./])(\d+(?:\.\d+)?){_OF} ?({_TIME})(?!\w)", _write_time),
    (r"\d+ ms(?:(?: and)? \d+ ms)+", _write_sum),
    # "Every 5 seconds" may be the time between two changes of a light; one flash every 5 seconds is not.
    (rf"^(?=.*\b(?:blink|flash|flicker|wink|strobe))(.*?){_ONCE}", r"\1period "),
    (_ONCE, "every "),
    (
        rf"{_PLUS_MINUS} ?(\d+(?:\.\d+)?)(?: ?(?:{_CELSIUS}|k|%|percent))?(?!\w)",
        lambda m: f"plusminus {_write_milli(m[1])}",
    ),
    (rf"({_NUMBER}) ?({_FAHRENHEIT}|{_CELSIUS}|c|{_UNIT})(?!\w)", _write_amount),
    (rf"\b({_LIMIT}) ({_NUMBER})(?! ?(?:milli|ms|hz|\d|quarter))(?=$| |,)", lambda m: f"{m[1]} {_write_milli(m[2])}"),
)
"""The patterns of quantities and their replacements, in the order in which they are applied."""
_STEPS = tuple((re.compile(pattern), replacement) for pattern, replacement in _FORMS)
