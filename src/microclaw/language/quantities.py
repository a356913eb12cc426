"""Rewrites numbers with units in one normal form. It knows no sentences.

Times become whole milliseconds ("every half second" -> "every 500 ms"), rates a period ("twice a second" ->
"period 500 ms", "3 Hz" -> "period 333333333 ns"), other quantities whole thousandths ("28.5 °C" -> "28500 milli
degrees"), pins "pin N" and several of them "pin N also pin M", times of day "clock 0645". Sentence templates then need
one form each. hassil reads number words too, but only as whole numbers of a fixed range.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

ONES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_TIME_MS = {
    "ms": 1, "msec": 1, "msecs": 1, "millis": 1, "millisecond": 1, "milliseconds": 1,
    "s": 1000, "sec": 1000, "secs": 1000, "second": 1000, "seconds": 1000,
    "min": 60_000, "mins": 60_000, "minute": 60_000, "minutes": 60_000,
    "h": 3_600_000, "hr": 3_600_000, "hour": 3_600_000, "hours": 3_600_000,
}  # fmt: skip
_UNITS = {
    "%": ("percent", 1000), "percent": ("percent", 1000),
    "v": ("volts", 1000), "volt": ("volts", 1000), "volts": ("volts", 1000),
    "mv": ("volts", 1), "millivolt": ("volts", 1), "millivolts": ("volts", 1),
    "a": ("amps", 1000), "amp": ("amps", 1000), "amps": ("amps", 1000),
    "ma": ("amps", 1), "milliamp": ("amps", 1), "milliamps": ("amps", 1),
    "hpa": ("hpa", 1000), "hectopascal": ("hpa", 1000), "hectopascals": ("hpa", 1000), "mbar": ("hpa", 1000),
    "kpa": ("hpa", 10_000), "bar": ("hpa", 1_000_000), "kw": ("watts", 1_000_000), "kilowatts": ("watts", 1_000_000),
    "w": ("watts", 1000), "watt": ("watts", 1000), "watts": ("watts", 1000), "mw": ("watts", 1),
}  # fmt: skip

NUMBER_WORDS = frozenset({*ONES, *TENS, "hundred", "thousand", "half", "quarter", "once", "twice"})
_NUMBER = r"(?<![\w.])(?<!pin )-?\d+(?:\.\d+)?"
_TIME_NAMES = "|".join(sorted(_TIME_MS, key=len, reverse=True))
_UNIT_NAMES = "|".join(re.escape(u) for u in sorted(_UNITS, key=len, reverse=True))
_OF = r"(?: ?/ ?(\d+(?:\.\d+)?))?"  # 1/2
_TIME = re.compile(rf"(?<![\w./])(\d+(?:\.\d+)?){_OF} ?({_TIME_NAMES})(?!\w)")
_TIME_SUM = re.compile(r"(\d+) ms(?:,| and)? (\d+) ms")
_ONE_UNIT = re.compile(r"\b(?:an? |((?:each|every|per) ))(second|sec|minute|min|hour|millisecond|ms)\b")
_OTHER = re.compile(rf"\b(?:each|every) other ({_TIME_NAMES})\b")
_HALVES = (
    (re.compile(r"\ban? (second|sec|minute|min|hour) and a half\b"), r"1.5 \1"),
    (re.compile(r"(\d+) and (?:a )?half\b(?: an?\b)?"), r"\1.5"),
    (re.compile(rf"(\d+) ({_TIME_NAMES}) and (?:a )?half\b"), r"\1.5 \2"),
    (re.compile(r"\b(?:a )?half(?:[ -](?:of )?(?:a|an))?[ -](?=second|sec|minute|min|hour|s\b|hertz|hz)"), "0.5 "),
    (re.compile(r"\b(?:a )?quarter(?:[ -](?:of )?(?:a|an))?[ -](?=second|sec|minute|min|hour)"), "0.25 "),
)
_COUNT = r"(?<![\d./])(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))? ?(?:times?|x)"
_TIMES = re.compile(rf"\b(once|twice|thrice|{_COUNT}) (?:a|an|per|each|in a) (second|sec|s|minute|min|hour)\b")
_HERTZ = re.compile(rf"(?<!/)(?<!/ )({_NUMBER}){_OF} ?(?:(k?)(?:hz|hertz|herz)|(?:/ ?|per |a )(?:s|sec|second))\b")
_FAHRENHEIT = re.compile(rf"({_NUMBER}) ?(?:° ?f|degrees? (?:f|fahrenheit)|fahrenheit)(?!\w)")
_CELSIUS = re.compile(rf"({_NUMBER}) ?(?:° ?c?|degrees?(?: (?:c|celsius|centigrade))?|celsius|c)(?!\w)")
_SWING = re.compile(
    r"(?:\+ ?/? ?-|±|plus[ -]?(?:or )?[ /-]?minus) ?(\d+(?:\.\d+)?)(?: ?(?:° ?c?|degrees?(?: c)?|k|%|percent))?(?!\w)"
)
_UNIT = re.compile(rf"({_NUMBER}) ?({_UNIT_NAMES})(?!\w)")
# No count, but a pace.
_ONE_EVERY = re.compile(r"\b(?:once|1 times?|(?:1|a) (?:cycle|flash|blink)) (?:every|each|per) (?=\d+ ms\b)")
_FLASHES = re.compile(r"\b(?:blink|flash|flicker|wink|strobe)")
_BARE_LIMIT = re.compile(
    rf"\b(setpoint(?: of| to| at)?|target(?: of)?|above|below|over|under|than|exceeds|reaches|below"
    rf"|past|at) ({_NUMBER})"
    r"(?! ?(?:milli|ms|hz|\d|quarter))(?=$| |,)"
)
_PIN_NAME = r"(?:gpio pins?|gpios?|ios?|pin numbers?|pin no\.?|pins?)"
_PIN = re.compile(rf"\b{_PIN_NAME}(?:[ _]*#?|-)(\d{{1,4}})\b|(?<!\w)#(\d{{1,4}})\b")
_LISTED = rf"(?:{_PIN_NAME}[ _]*)?#?(?<![.:])\d{{1,3}}(?![\d.:%])"
_PINS_LISTED = re.compile(
    # Bare numbers are pins only after a word that pins follow: "leds 1 and 2" are not pins 1 and 2.
    rf"(?:\b{_PIN_NAME}[ _]?#?|(?<!\w)#|^|(?<=\bon )|(?<=\boff )|(?<=\bat )|(?<=\bof )|(?<=\bset )|(?<=\bturn )"
    rf"|(?<=\bswitch )|(?<=\bdrive )|(?<=\bpull )|(?<=\busing )|(?<=\bwith ))"
    rf"{_LISTED}(?:(?:,? and |, ?| ?& ?| ?\+ ?|, ?and){_LISTED})+"
    rf"(?! ?(?:{_TIME_NAMES}|{_UNIT_NAMES}|times?|x|degrees?|°|c|f|k?hz|milli)(?!\w))"
)
_PINS_IN_A_ROW = re.compile(r"\b(?:pins|gpios|ios|gpio pins)((?: \d{1,3}){2,}(?:,? (?:and|&) \d{1,3})?)(?![\w.%])")
_BELOW_100 = rf"(?:(?:{'|'.join(TENS)})(?:[ -](?:{'|'.join(list(ONES)[1:10])}))?|(?:{'|'.join(ONES)}))"
_WORD_NUMBER = re.compile(rf"\b(?:(?:{'|'.join(ONES)}) hundred(?:(?: and)? {_BELOW_100})?|{_BELOW_100})\b")
_MINUS = re.compile(r"(?<!\bplus )(?<!\bor )(?<!\d )(?:\b(?:minus|negative) |(?<= )- )(?=\d)")
_HYPHENED = re.compile(r"(?<=\d)-(?=(?:milli)?(?:second|sec|minute|min|hour|hr)s?\b)")  # "30-second intervals"
_HOURLY = re.compile(r"(?<!half[ -])(?<!quarter[ -])\b(?:hourly|on the hour)\b")
_JOINED = (  # "1h30m", "2m30s": an "m" alone is no unit
    (re.compile(r"(?<![\w.:/-])(\d+) ?h(?:rs?)? ?([0-5]?\d) ?m(?:ins?)?(?!\w)"), r"\1 h \2 min"),
    (re.compile(r"(?<![\w.:/-])(\d+) ?m(?:ins?)? ?([0-5]?\d) ?s(?:ecs?)?(?!\w)"), r"\1 min \2 s"),
)
_ROUND = re.compile(r"(?<!\d )\b(?:a )?(hundred|thousand)\b")
_ABOVE, _BELOW = re.compile(r">=?|≥"), re.compile(r"<=?|≤")
_CLOCK = re.compile(
    r"\b(\d{1,2})[:.h](\d\d)(?: ?([ap])\.?m\b\.?)?(?![\w.])|\b(\d{1,2}) ?(?:([ap])\.?m\b\.?|o'clock)(?!\w)"
)
_NOON = re.compile(r"(?<![\w-])(?:noon|midday|midnight)(?![\w-])")
_MARKS = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "µ": "u", "，": ","})


@lru_cache(64)  # a turn reads its sentence several times
def normalize_quantities(text: str) -> str:
    """The sentence in lower case, one space between words, every quantity in its one form."""
    said = text.translate(_MARKS).lower()
    for pattern, written in _JOINED:
        said = pattern.sub(written, said)
    said = re.sub(r"-+>", " to ", said)
    said = _ABOVE.sub(" above ", _BELOW.sub(" below ", said))
    said = re.sub(r"\s+", " ", said).strip()
    said = re.sub(r"[\s.!?,;:]+$", "", said)
    said = re.sub(r"(\d) point (\d)(?! \d)", r"\1.\2", _WORD_NUMBER.sub(_digits, said))
    said = _MINUS.sub("-", said)
    said = re.sub(r"\b(\d+) ?x\b", r"\1 times", said)
    said = re.sub(r"\b1 (?=half\b|quarter\b)", "a ", said)
    said = re.sub(r"\b(pin|output|gpio|relay|channel|input) (?:number|no\.?|nr\.?) (?=\d)", r"\1 ", said)
    said = _PINS_LISTED.sub(_pin_list, said)
    said = _PINS_IN_A_ROW.sub(_pin_list, said)
    said = re.sub(r"(?<=\w)[,;:](?= )", "", said)
    said = _ROUND.sub(lambda m: "100" if m[1] == "hundred" else "1000", said)
    said = _PIN.sub(lambda m: f"pin {int(m[1] or m[2])}", said)
    said = _NOON.sub(lambda m: f"clock {'0000' if m[0] == 'midnight' else '1200'}", said)
    return _limits(_times(_CLOCK.sub(_clock, said)))


def _times(said: str) -> str:
    said = _HOURLY.sub("every 1 hour", _HYPHENED.sub(" ", said))
    said = _TIMES.sub(lambda m: _period(_hertz(m)), said)
    said = _OTHER.sub(lambda m: f"every 2 {m[1]}", said)
    for pattern, written in _HALVES:
        said = pattern.sub(written, said)
    said = _ONE_UNIT.sub(lambda m: f"{m[1] or ''}1 {m[2]}", said)  # "every second", "a minute"
    said = _HERTZ.sub(lambda m: _period(_ratio(m[1], m[2]) * (1000 if m[3] else 1)), said)
    said = _TIME.sub(lambda m: _whole_ms(_ratio(m[1], m[2]) * _TIME_MS[m[3]]), said)
    said = _TIME_SUM.sub(lambda m: f"{int(m[1]) + int(m[2])} ms", said)
    # "Every 5 seconds" may be the time between two changes of a light; one flash every 5 seconds is not.
    return _ONE_EVERY.sub("period " if _FLASHES.search(said) else "every ", said)


def _period(hertz: Fraction) -> str:
    """The period of a rate, in whole milliseconds or else in nanoseconds."""
    time_ms = 1000 / hertz if hertz > 0 else Fraction(0)
    return f"period {time_ms} ms" if time_ms.denominator == 1 else f"period {round(time_ms * 1_000_000)} ns"


def _whole_ms(time_ms: Fraction) -> str:
    """A time in milliseconds; one that is not whole fits no template."""
    return f"{time_ms} ms" if time_ms.denominator == 1 else "uneven ms"


def _limits(said: str) -> str:
    said = _SWING.sub(lambda m: f"plusminus {round(Fraction(m[1]) * 1000)} milli", said)
    said = _FAHRENHEIT.sub(lambda m: f"{round((Fraction(m[1]) - 32) * 5000 / 9)} milli degrees", said)
    said = _CELSIUS.sub(lambda m: f"{round(Fraction(m[1]) * 1000)} milli degrees", said)
    said = _UNIT.sub(lambda m: f"{round(Fraction(m[1]) * _UNITS[m[2]][1])} milli {_UNITS[m[2]][0]}", said)
    return _BARE_LIMIT.sub(lambda m: f"{m[1]} {round(Fraction(m[2]) * 1000)} milli", said)


def _pin_list(match: re.Match[str]) -> str:
    """ "pins 4, 5 and 6" -> "pin 4 also pin 5 also pin 6"."""
    return " also ".join(f"pin {int(number)}" for number in re.findall(r"\d+", match[0]))


def _clock(match: re.Match[str]) -> str:
    """ "6:45 pm" -> "clock 1845"; what is no time of day stays as it is."""
    hour, minute = int(match[1] or match[4]), int(match[2] or 0)
    half = match[3] or match[5]
    if hour > 24 or minute > 59 or (match[2] and "." in match[0][:3] and not half):
        return match[0]
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return f"clock {hour:02d}{minute:02d}"


def _hertz(match: re.Match[str]) -> Fraction:
    word, number, below, unit = match.groups()
    return (_ratio(number, below) if number else {"once": 1, "twice": 2, "thrice": 3}[word]) * Fraction(
        1000, _TIME_MS[unit]
    )


def _ratio(number: str, below: str | None) -> Fraction:
    """ "1/2" or "3"; 0, which is no rate and no time, for what is divided by 0."""
    divisor = Fraction(below or 1)
    return Fraction(number) / divisor if divisor else Fraction(0)


def _digits(match: re.Match[str]) -> str:
    """ "two hundred and fifty" -> "250"."""
    number = 0
    for word in re.split(r"[ -]", match[0]):
        number = number * 100 if word == "hundred" else number + ONES.get(word, TENS.get(word, 0))
    return str(number)
