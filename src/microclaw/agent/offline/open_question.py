"""Reads an answer to the question that the chat asked last: a value, a pin, a board, a yes, a number of a list."""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.quantities import is_yes, without_commas
from microclaw.agent.models.protocol import DeviceContext
from microclaw.agent.offline import boards
from microclaw.agent.offline.decision import WORDS, Context, Parse, Say, number_sentences
from microclaw.agent.offline.dialogue_state import DialogueState, Question
from microclaw.agent.offline.full_board import with_replaced
from microclaw.agent.offline.own_words import ask_reading, leaves_words_out, sentence_of
from microclaw.agent.offline.reading import find_device, read
from microclaw.agent.offline.ready_programs import with_next_pin
from microclaw.agent.offline.sentences import MAX_SENTENCE_CHARS
from microclaw.agent.offline.unfinished import NAMED, read_contradiction

_PERCENT: Final = re.compile(r"(?:(?:at|to|make it) )*(-?\d+) milli percent")
_SCHEDULE: Final = re.compile(r"(?:the |number |schedule |cancel )*(\d{1,6})")
_LEAVES_OUT: Final = re.compile(r"(?:please )?(?:leave|ignore|skip|do it without) (?:it|that|them)(?: out)?")
_GOES_ON: Final = re.compile(r"(?:and|for|when|if|while|until|at|in|on|after|every|from|above|below|twice)\b")
_SWITCHES: Final = re.compile(r"\b(?:off|low|high|lit|dark|at most|at least)\b|\bon$")
"""An answer with these would turn the act round, or is not read as it is said."""
_PINS: Final = re.compile(rf"(?:(?:on|at|the|its?|it is|it's|{NAMED}) )*(?:pin )?\d{{1,3}}(?: also pin \d{{1,3}})*")


def choose_suggestion(sentence: str, suggested: tuple[str, ...]) -> str | Say | None:
    """Return the suggested sentence that a number or a yes means, or None for any other words."""
    if not suggested or len(sentence) > MAX_SENTENCE_CHARS:
        return None
    text = without_commas(sentence)
    if re.fullmatch(r"[1-9]", text) and int(text) <= len(suggested):
        return suggested[int(text) - 1]
    if not is_yes(sentence):
        return None
    if len(suggested) == 1:
        return suggested[0]
    return Say(f"Which one: {number_sentences(suggested)}?", "ambiguous", "its number", suggested=suggested)


def complete_part(answer: str, part: str, alone: Context | Say, device_context: DeviceContext) -> Say | None:
    """Ask whether a wish that was read in part is meant with the words of the answer ("for 3 s"), or without more.

    `alone` is the answer as a sentence of its own. Return None if it is one, or if the words do not fit.
    """
    words = answer.strip(" .!?,")
    if not part or _stands_alone(words, alone):
        return None
    if _LEAVES_OUT.fullmatch(words.lower()):
        return ask_reading(part)
    if _SWITCHES.search(words.lower()):
        return None
    for joint in _joints(words.lower()):
        longer_part = part.replace(WORDS, f"{joint}{words} {WORDS}")
        question = _ask_part(longer_part, device_context)
        if question is not None:
            return question
    return None


def _joints(words: str) -> tuple[str, ...]:
    """Return what an answer may leave out before it: "3 s", "the door opens"."""
    if _GOES_ON.match(words):
        return ("",)
    return ("for ", "when ")


def _stands_alone(words: str, reading: Context | Say) -> bool:
    """Return True for a sentence of its own, for one about the last act ("turn it off"; not "for 3 s"), for none."""
    if not words or "{" in words or len(words) > MAX_SENTENCE_CHARS:
        return True
    if isinstance(reading, Say):
        return False
    return not reading.refers or _GOES_ON.match(words.lower()) is None


def _ask_part(part: str, device_context: DeviceContext) -> Say | None:
    """Ask whether this sentence is meant, if all of it is understood."""
    reading = read(sentence_of(part), device_context, DialogueState())
    if isinstance(reading, Context):
        return ask_reading(part)
    if reading.code != "confirm_reading" or leaves_words_out(reading):
        return None
    return reading


def complete_question(
    sentence: str, question: Question | None, device_context: DeviceContext, suggested: tuple[str, ...]
) -> Context | None:
    """Return the sentence of the open question with the value that it asked for, or None if this is not an answer.

    `suggested` are the sentences that the question offered.
    """
    if question is None or len(sentence) > MAX_SENTENCE_CHARS:
        return None
    if question.slot == "words":
        return ask_again(read_contradiction(sentence, question), question, device_context)
    if question.slot == "device":
        device = boards.read_device(sentence, device_context)
        if device is None:
            return None
        return Context(question.parse, question.said, device_context, device)
    device = find_device(device_context, question.device)
    if question.slot == "room":
        parse = with_replaced(sentence, question.parse, suggested)
    else:
        parse = _fill_slot(sentence, question)
    if parse is None:
        return None
    return Context(parse, question.said, device_context, device)


def ask_again(parse: Parse | None, question: Question | None, device_context: DeviceContext) -> Context | None:
    """Return the open question to be asked again with the reason in its parse. Return None if there is no reason."""
    if question is None or parse is None:
        return None
    return Context(parse, question.said, device_context, find_device(device_context, question.device))


def _fill_slot(sentence: str, question: Question) -> Parse | None:
    """Return the parse of the question with the value of the answer, or None if this is not an answer."""
    parse = question.parse
    text = without_commas(sentence)
    if question.slot == "confirmed":
        if is_yes(sentence) or text == without_commas(f"yes {question.reading}"):
            return replace(parse, confirmed=True)
        return None
    if question.slot == "milli":
        percent = _PERCENT.fullmatch(text)
        if percent is None:
            return None
        return replace(parse, values=parse.values | {"milli": int(percent[1])})
    if question.slot == "number":
        return _with_schedule(text, parse)
    if not _PINS.fullmatch(text):
        return None
    pins = [int(digits) for digits in re.findall(r"\d+", text)]
    if question.slot == "pins":
        return parse.on_pins(pins)
    if len(pins) > 1:
        return None
    if question.slot == "entry_pin":
        return with_next_pin(parse, pins[0])
    return replace(parse, values=parse.values | {question.slot: pins[0]})


def _with_schedule(text: str, parse: Parse) -> Parse | None:
    """Return the parse for the schedule with this number."""
    schedule = _SCHEDULE.fullmatch(text)
    if schedule is None:
        return None
    # The number says it all, so a time that fitted several schedules is left out.
    return replace(parse, values=parse.values | {"number": int(schedule[1])}, when=None)
