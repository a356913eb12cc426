"""Sentences that leave a value open ("when it is too warm", "for a while"): the question, and the sentence with it.

A template is the sentence with a hole for each open value, as {pin:button} or {duration}. The first hole is asked
for, the answer fills it, and the whole sentence is read again. Only a sentence that is understood with every hole
filled is asked about. This module acts on nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.quantities import BEGINS, normalize_quantities, without_commas
from microclaw.agent.language.times import (
    When,
    ask_spoken_time,
    contradiction,
    format_when,
    split_when,
    spoken_duration,
)
from microclaw.agent.offline.decision import Context, Parse, Say, capitalize
from microclaw.agent.offline.dialogue_state import Question
from microclaw.agent.offline.open_wishes import open_wish
from microclaw.agent.offline.sentences import MAX_SENTENCE_CHARS, english
from microclaw.agent.offline.timed_sentences import parse_two_times

UNFINISHED: Final = "unfinished"
_HOLE: Final = re.compile(r"\{([a-z]+)(?::([^{}]*))?\}")
_SIDES: Final = {"warm": "above", "hot": "above", "cold": "below", "cool": "below", "humid": "above", "damp": "above"}
_LEVELS: Final = {"high": "above", "low": "below"}
_UNIT_OF: Final = {"temperature": "degrees", "humidity": "percent"}
_QUANTITY_OF: Final = dict.fromkeys(("warm", "hot", "cold", "cool"), "temperature")
_WHEN: Final = rf"\b(?P<when>{BEGINS}) "
_TOO: Final = re.compile(
    rf"{_WHEN}(?P<what>it|the (?:room|air|temperature|humidity))(?:'s| is| gets| becomes| goes| rises| falls| drops) "
    r"(?:too |very )?(?P<word>warm|hot|cold|cool|humid|damp|high|low)(?= |$)(?! (?:than|above|below|over|under))"
)
_A_WHILE: Final = re.compile(
    r"\b(?:for (?:(?:a|some) (?:short |little )?(?:while|bit|moment|time)|a (?:few|couple of) (?:seconds|minutes))"
    r"|(?<!flash )(?<!blink )briefly)(?= |$)"
)
_HALF: Final = re.compile(r"\bat (half past|(?:a )?quarter past|(?:a )?quarter to)(?=$| (?!\d))")
_FROM: Final = re.compile(r"\bfrom (\d{1,2}:\d\d|\d{1,2} ?[ap]\.?m\.?)(?=$| (?!to |until |till |- ))")
_INPUT: Final = re.compile(
    rf"{_WHEN}(?:the|a|my) (?P<part>button|door|window|motion sensor) "
    r"(?P<act>(?:is|gets) (?:pressed|pushed|released|opened|closed)|opens|closes|sees motion|detects motion)(?= |$)"
)
_OUTPUT: Final = re.compile(
    r"\b(?:turn|switch) (?:on|off) (?:the|a|my) (?P<part>light|lamp|fan|pump|heater|valve|relay|buzzer|siren)(?= |$)"
    r"(?! (?:on|at|to|of) pin)"
)
_OTHER_ONE: Final = re.compile(
    r"\bthe (?P<part>(?:other|first|second|third|left|right) "
    r"(?:one|led|light|lamp|pin|relay|fan|pump|valve|heater))(?= |$)(?! (?:on|at|to|of) pin)"
)
_A_BIT: Final = re.compile(r"\b(?:dim|brighten) (?:the|my) (?P<part>light|lamp|led) (?:a )?(?:little )?(?:bit|little)$")
_WATER: Final = re.compile(r"(?:please )?water (?:the|my|our) (?!pump|valve|heater)[a-z]+(?P<rest>(?: .*)?)")
_AT_PIN: Final = re.compile(r"(?: with| using| through)?(?: the| a| my)?(?: pump| valve)?(?: on| at)? pin (\d{1,3})\b")
_FOR: Final = re.compile(r"\bfor (\d+ ms)\b")
_TELL_LATER: Final = re.compile(
    r"(?P<what>count .+?),? and (?:tell|send|show|report|text|message|mail) (?:(?:it|that) to )?me(?: it| that)? "
    r"(?P<time>.+)"
)
_SAMPLES: Final = {"degrees": "25", "percent": "50", "duration": "20 s", "clock": "21:40", "half": "7:30"}
_NUMBER: Final = re.compile(
    r"(?:at |to |from |over |under |(above|below) )?(-?\d+(?:\.\d+)?)(?: (milli)(?: (degrees|percent))?)?"
)
_MOST_ANSWER_WORDS: Final = 5
_VALUE_NAMES: Final = {
    "degrees": "degrees",
    "percent": "percent",
    "duration": "a duration",
    "clock": "a time of day",
    "half": "an hour",
    "pin": "another pin",
}
NAMED: Final = r"(?:the|my|our) [a-z]+(?: [a-z]+){0,2} (?:is|hangs|sits)"
"""A pattern for the words before a pin in an answer, as "the heat lamp is"."""
_PIN: Final = re.compile(rf"(?:(?:on|at|it is|it's|{NAMED}) )*(?:pin )?(\d{{1,3}})")
_HALF_OF_DAY: Final = re.compile(
    r"(?:it is |that is |that's |i mean )?(?:(?:in|at) )?(?:the )?"
    r"(?:morning|a\.?m\.?|(?P<late>afternoon|evening|night|p\.?m\.?))"
)
_EVENING_HOUR: Final = 6
"""The first hour of "at night" that is before midnight: 6 at night is 18:00."""
_NOT_IN_TIME: Final = re.compile(r"^(?:from|to|until|till|by) ")


def parse_unfinished(text: str) -> Parse | Say | None:
    """Return the sentence with a hole for each value that it leaves open, or None if it leaves none open.

    A sentence that would not be understood with all values is None, too.
    """
    sentence = re.sub(r"\s+", " ", text).strip(" .!?,").lower()
    report = _TELL_LATER.fullmatch(sentence)
    if report is not None:
        return _answer_report(report)
    template = sentence
    for fill in (_open_limits, _open_words, _open_watering):
        template = fill(template)
    for candidate in (template, *open_wish(text)):
        if _HOLE.search(candidate) is not None and _is_readable(candidate):
            return Parse(UNFINISHED, {"template": candidate})
    return None


def ask_open_value(context: Context) -> Say:
    """Ask for the first open value of the sentence, again after an answer that contradicts it."""
    question = question_of(context.parse.word("template") or "")
    reason = context.parse.word("contradiction")
    if reason is None:
        return question
    return replace(question, text=f"{capitalize(reason)}, so I did nothing. {question.text}")


def question_of(template: str) -> Say:
    """Return the question about the first hole."""
    hole = _HOLE.search(template)
    assert hole is not None
    kind = hole[1]
    hint = hole[2] or ""
    example = _SAMPLES.get(kind, "pin 4")
    if kind in ("degrees", "percent"):
        question = f"{hint.capitalize()} how many {kind}?"
        example = f"{example} {kind}"
    elif kind == "duration":
        question = f"{(hint or 'for how long').capitalize()}?"
    elif kind == "pin":
        question = f"Which pin is the {hint} on?"
    elif kind == "half":
        question = f"At {hint} which hour?"
    elif hint == "until":
        question = "Until when?"
    elif hint:
        question = f"Is that {hint}?"
        example = hint.partition(" ")[0]
    else:
        question = "At what time?"
    return Say(question, "ambiguous", f"say only that, as in: {example}", "words", template=template)


def answers_to(template: str) -> tuple[str, ...]:
    """Return all answers to the question about the first hole, or nothing if it may be any value."""
    hole = _HOLE.search(template)
    if hole is None or hole[1] != "clock" or not hole[2]:
        return ()
    hours = hole[2].split(" or ")
    if len(hours) == 1:
        return ()
    return tuple(hours)


def ask_time(when: When, task: str, sentence: str) -> Say | None:
    """Ask for the time of a schedule, or which half of the day its hour is in. Return None if it is clear.

    Return the reason if the sentence says two halves.
    """
    reason = contradiction(sentence)
    if reason is not None:
        return Say(f"{capitalize(reason)}, so I did nothing.", "ambiguous", "say the time as in: at 21:00")
    if when.hour is not None:
        early = when.hour % 24
        days = format_when(_days_alone(when))
        template = f"{task} {days} at {{clock:{early:02d}:00 or {(early + 12) % 24:02d}:00}}"
        return question_of(re.sub(r"\s+", " ", template))
    if when.clock is None and when.delay_ms is None:
        said = sentence.strip(" .!?,")
        clocks = ask_spoken_time(normalize_quantities(said))
        if clocks is not None:
            return question_of(f"{said} at {{clock:{clocks}}}")
        return question_of(f"{said} at {{clock}}")
    return None


def _days_alone(when: When) -> When:
    """Return the time with its days alone."""
    return When(repeat=when.repeat, date=when.date)


def complete_words(sentence: str, question: Question | None) -> str | None:
    """Return the sentence of the open question with the value of the answer, or None if this is not an answer."""
    if question is None or question.slot != "words" or len(sentence) > MAX_SENTENCE_CHARS:
        return None
    whole = sentence_with(question.parse.word("template") or "", sentence)
    if whole is None or question.device is None:
        return whole
    return f"{whole} on {question.device}"


def refuse_answer(answer: str, question: Question | None) -> Parse | None:
    """Return the question once more for a few words that are no such value. Return None if no value is asked for."""
    if question is None or question.slot != "words" or len(answer.split()) > _MOST_ANSWER_WORDS:
        return None
    template = question.parse.word("template") or ""
    hole = _HOLE.search(template)
    if hole is None:
        return None
    words = answer.strip(" .!?,")
    return Parse(UNFINISHED, {"template": template, "contradiction": f"{words!r} is not {_VALUE_NAMES[hole[1]]}"})


def read_contradiction(answer: str, question: Question) -> Parse | None:
    """Return the question once more for a time that contradicts its sentence ("every evening": "9 am"), else None."""
    template = question.parse.word("template") or ""
    reason = contradiction(f"{template} {answer}")
    if reason is None or "{clock" not in template or _time_of(answer) is None:
        return None
    return Parse(UNFINISHED, {"template": template, "contradiction": reason})


def sentence_with(template: str, answer: str) -> str | None:
    """Return the sentence with its first hole filled by an answer, or None if this is no such value."""
    hole = _HOLE.search(template)
    if hole is None:
        return None
    value = _READERS[hole[1]](answer, template, hole[2] or "")
    if value is None:
        return None
    return f"{template[: hole.start()]}{value}{template[hole.end() :]}"


def _open_limits(sentence: str) -> str:
    """Write "when it is too warm" as "when the temperature is above {degrees}"."""
    match = _TOO.search(sentence)
    if match is None:
        return sentence
    word = match["word"]
    named = match["what"].removeprefix("the ")
    quantity = _QUANTITY_OF.get(word, "humidity")
    side = _SIDES.get(word)
    if word in _LEVELS:
        quantity = named
        side = _LEVELS[word]
    is_other = named in _UNIT_OF and named != quantity
    if quantity not in _UNIT_OF or side is None or is_other:
        return sentence
    unit = _UNIT_OF[quantity]
    clause = f"{match['when']} the {quantity} is {side} {{{unit}:{side}}} {unit}"
    return f"{sentence[: match.start()]}{clause}{sentence[match.end() :]}"


def _open_words(sentence: str) -> str:
    sentence = _A_WHILE.sub("for {duration}", sentence, count=1)
    sentence = _HALF.sub(r"at {half:\1}", sentence, count=1)
    sentence = _FROM.sub(r"from \1 to {clock:until}", sentence, count=1)
    sentence = _INPUT.sub(
        lambda match: f"{match['when']} the {match['part']} on pin {{pin:{match['part']}}} {match['act']}",
        sentence,
        count=1,
    )
    sentence = _OTHER_ONE.sub(lambda match: f"pin {{pin:{match['part']}}}", sentence, count=1)
    sentence = _A_BIT.sub(lambda match: f"dim pin {{pin:{match['part']}}} to {{percent:to}} percent", sentence, count=1)
    return _OUTPUT.sub(lambda match: f"{match[0]} on pin {{pin:{match['part']}}}", sentence, count=1)


def _open_watering(sentence: str) -> str:
    """Write "water the plants every morning" as a pump that runs for a time."""
    match = _WATER.fullmatch(sentence)
    if match is None:
        return sentence
    rest = normalize_quantities(match["rest"])
    pin = _AT_PIN.search(f" {rest}")
    rest = _AT_PIN.sub("", f" {rest}", count=1)
    duration = _FOR.search(rest)
    rest = _FOR.sub("", rest, count=1).strip()
    when = When()
    if rest:
        timed = split_when(rest, bare_hour=True)
        if timed is None or timed[0]:
            return sentence
        when = timed[1]
    place = f"pin {pin[1]}" if pin else "pin {pin:pump}"
    length = spoken_duration(int(duration[1].removesuffix(" ms"))) if duration else "{duration}"
    days = re.sub(r"clock (\d\d)(\d\d)", r"\1:\2", rest)
    template = f"turn on {place} for {length} {days}".strip()
    if days and not _has_time(when):
        template += " at {clock}"
    return template


def _answer_report(report: re.Match[str]) -> Say | None:
    """Answer a wish to count and to tell at a time. The counting is offered, and the telling is not taken for it."""
    what = report["what"].strip(" ,")
    timed = split_when(normalize_quantities(report["time"]), bare_hour=True)
    if timed is None or timed[0] or english().parse(what) is None:
        return None
    text = (
        f"A program counts on the board and writes into its log; it tells nothing at a time. Shall I do this: {what}?"
    )
    return Say(text, "ambiguous", f"yes, or say: {what}", suggested=(what,))


def _is_readable(template: str) -> bool:
    """Return True if the sentence is understood with all its holes filled."""
    pins = iter(("4", "5", "6", "7"))
    named_pins = re.findall(r"\bpin (\d+)", template)
    free_pins = [pin for pin in pins if pin not in named_pins]

    def sample(hole: re.Match[str]) -> str:
        if hole[1] == "pin":
            return free_pins.pop()
        return _SAMPLES[hole[1]]

    sentence = _HOLE.sub(sample, template)
    parse = english().parse(sentence)
    if parse is None:
        return isinstance(parse_two_times(sentence), Parse)
    return parse.kind != "unsafe" and parse.kind not in english().answers


def _read_amount(answer: str, template: str, side: str) -> str | None:
    match = _NUMBER.fullmatch(without_commas(answer))
    if match is None or match[1] not in (None, side):
        return None
    unit = match[4]
    is_other_unit = unit is not None and f"}} {unit}" not in template
    if is_other_unit:
        return None
    number = Fraction(match[2])
    if match[3]:
        number /= 1000
    return f"{float(number):g}"


def _read_duration(answer: str, _template: str, _hint: str) -> str | None:
    match = re.fullmatch(r"(?:for |every )?(\d+) ms", without_commas(answer))
    if match is None or int(match[1]) == 0:
        return None
    return spoken_duration(int(match[1]))


def _read_pin(answer: str, template: str, _hint: str) -> str | None:
    match = _PIN.fullmatch(without_commas(answer))
    if match is None or re.search(rf"\bpin {int(match[1])}\b", template):
        return None
    return str(int(match[1]))


def _read_clock(answer: str, template: str, hint: str) -> str | None:
    """Read a time of day: "8 pm", "20:00", "at 8", "in the evening at 8"."""
    half = _read_half_of_day(answer, hint)
    if half is not None:
        return half
    time = _time_of(answer)
    if time is None:
        return None
    if contradiction(f"{template} {answer}") is not None:
        return None
    if time.clock is not None:
        return time.clock
    if hint:
        # The hour alone was the question.
        return None
    return str(time.hour)


def _read_half_of_day(answer: str, hint: str) -> str | None:
    """Read "in the evening" as the answer to "06:50 or 18:50"."""
    match = _HALF_OF_DAY.fullmatch(without_commas(answer))
    early, joint, late = hint.partition(" or ")
    if match is None or not joint:
        return None
    is_night = match["late"] == "night"
    if match["late"] is None or (is_night and int(early[:2]) < _EVENING_HOUR):
        return early
    return late


def _read_half(answer: str, _template: str, words: str) -> str | None:
    """Read the hour of "half past": "7 pm", "19", or the whole time, "19:30"."""
    minute = {"half": 30, "past": 15, "to": 45}[words.split()[0] if words.startswith("half") else words.split()[-1]]
    time = _time_of(answer)
    if time is None:
        return None
    if time.clock is None:
        hour = (time.hour or 0) - (minute == 45)
        return f"{{clock:{hour % 12:02d}:{minute} or {hour % 12 + 12:02d}:{minute}}}"
    if time.clock.endswith(f":{minute}"):
        return time.clock
    if not time.clock.endswith(":00"):
        return None
    hour = (int(time.clock[:2]) - (minute == 45)) % 24
    return f"{hour:02d}:{minute}"


def _time_of(answer: str) -> When | None:
    """Return the time of day that an answer names alone, or None."""
    normal = _NOT_IN_TIME.sub("at ", without_commas(answer))
    if re.match(r"\d{1,2}(?= |$)", normal):
        normal = f"at {normal}"
    timed = split_when(normal, bare_hour=True)
    if timed is None or timed[0]:
        return None
    when = timed[1]
    is_more = when.repeat or when.date or when.delay_ms is not None
    if is_more or not _has_time(when):
        return None
    return when


def _has_time(when: When) -> bool:
    return when.clock is not None or when.hour is not None or when.delay_ms is not None


_READERS: Final[dict[str, Callable[[str, str, str], str | None]]] = {
    "degrees": _read_amount,
    "percent": _read_amount,
    "duration": _read_duration,
    "pin": _read_pin,
    "clock": _read_clock,
    "half": _read_half,
}
