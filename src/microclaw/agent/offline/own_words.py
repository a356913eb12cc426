"""A wish in a person's own words: asked as the sentence that it is read as.

A question in own words is answered: nothing is done by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.spoken import spoken
from microclaw.agent.language.times import When
from microclaw.agent.models.protocol import DeviceContext, KnownDevice
from microclaw.agent.offline.decision import WORDS, Parse, Say
from microclaw.agent.offline.everyday_questions import parse_everyday_question
from microclaw.agent.offline.impossible_wishes import find_obstacle
from microclaw.agent.offline.sentences import english
from microclaw.agent.offline.timed_sentences import parse_two_times
from microclaw.agent.offline.unfinished import parse_unfinished
from microclaw.agent.offline.unknown_sentences import NOT_UNDERSTOOD, is_question, vocabulary
from microclaw.agent.wishes.questions import read_question
from microclaw.agent.wishes.reader import read_parts, read_wish
from microclaw.agent.wishes.slips import mend_slips
from microclaw.agent.wishes.wording import write_out
from microclaw.events import Choice

_HOLE: Final = re.compile(r"(?:pin )?\{[a-z]+:([^{}]*)\}")
_MOST_QUOTED: Final = 3
LEAVE_OUT: Final = "leave it out"
"""The answer that asks for what was understood, without the words that were not."""
_ONCE: Final = " It names no day, so it is done once; for each day say: every day."
_QUESTION: Final = re.compile(
    rf'I read this as: (?P<sentence>[^"]+?)\.(?:{re.escape(_ONCE)})?(?P<left_out> Left out: .+\.)? Shall I do it\??'
)


def parse_own_words(text: str, device_context: DeviceContext, device: KnownDevice | None) -> Parse | Say | None:
    """Return the question whether the wish is read right, or for what it leaves open; a question has its answer.

    Words that are not understood as they stand are read without slips of the keyboard.
    """
    reading = _parse_as_it_stands(text, device_context, device)
    if _is_whole(reading):
        return reading
    mended = mend_slips(text, vocabulary())
    if mended == text.lower():
        return reading
    return _parse_as_it_stands(mended, device_context, device)


def _is_whole(reading: Parse | Say | None) -> bool:
    """Return True for a reading of all words."""
    if not isinstance(reading, Say):
        return reading is not None
    if reading.part:
        return not leaves_words_out(reading)
    return reading.code != NOT_UNDERSTOOD


def _parse_as_it_stands(text: str, device_context: DeviceContext, device: KnownDevice | None) -> Parse | Say | None:
    if is_question(text) or is_question(write_out(text)):
        return _parse_question(text)
    wish = read_wish(text, _is_readable)
    if wish is None:
        return _tell_parts(text)
    sentence = spoken(wish.sentence)
    obstacle = find_obstacle(sentence, device or device_context.meant, ())
    if obstacle is not None:
        return obstacle
    part = f"{sentence} {WORDS}"
    if device is not None:
        part = f"{part} on {device.name}"
    sentence = sentence_of(part)
    if wish.open_words:
        return _ask_about(part, wish.open_words)
    if english().parse(sentence) is None:
        unfinished = parse_unfinished(sentence)
        if unfinished is not None:
            return unfinished
    return ask_reading(part, wish.left_out)


def _parse_question(text: str) -> Parse | None:
    """Return the plain question as a guess: a language model, if there is one, answers what was asked."""
    for question in read_question(text):
        parse = english().parse(question) or parse_everyday_question(question)
        if parse is not None:
            return replace(parse, values=parse.values | {"guess": True})
    return None


def asked_sentence(text: str) -> str:
    """Return the sentence that a question of this module asks about: a terminal sends the question instead of a yes."""
    match = _QUESTION.fullmatch(text.strip())
    if match is None:
        return text
    return match["sentence"]


def _is_readable(sentence: str) -> bool:
    said = spoken(sentence)
    reading = english().parse(said) or parse_two_times(said) or parse_unfinished(said)
    return isinstance(reading, Parse)


def sentence_of(part: str) -> str:
    """Return the sentence of a wish that was read in part, without its hole for more words."""
    return part.replace(f" {WORDS}", "")


def ask_reading(part: str, left_out: Sequence[str] = ()) -> Say:
    """Ask whether a wish is meant as the sentence of this part."""
    sentence = sentence_of(part)
    text = f"I read this as: {sentence}."
    if _is_once(sentence):
        text += _ONCE
    if left_out:
        text = f"{text} Left out: {_quoted(left_out)}."
    text = f"{text} Shall I do it?"
    return Say(text, "confirm_reading", "yes, or say it in other words", suggested=(sentence,), part=part)


def _is_once(sentence: str) -> bool:
    """Return True for a time of day without a day: it may be meant each day."""
    reading = english().parse(sentence) or parse_two_times(sentence)
    if not isinstance(reading, Parse):
        return False
    for part in reading.parts or (reading,):
        when = part.when or When()
        if when.clock and not (when.repeat or when.date):
            return True
    return False


def leaves_words_out(question: Say) -> bool:
    """Return True if a question of this module is about less than what was said."""
    match = _QUESTION.fullmatch(question.text)
    return match is None or match["left_out"] is not None


def _ask_about(part: str, open_words: Sequence[str]) -> Say | None:
    """Say what was understood, and ask for the words that were not."""
    sentence = sentence_of(part)
    words = _quoted(open_words)
    is_open = "{" in sentence
    if is_open:
        sentence = _HOLE.sub(r"the \1", sentence)
    text = f"I read: {sentence}. But I do not understand {words}, so I did nothing. How do you mean that?"
    if is_open:
        return Say(text, "ambiguous", "say the whole wish in other words")
    step = f"say only that in other words, or the whole wish; or: {LEAVE_OUT}"
    return Say(text, "ambiguous", step, part=part, choices=(Choice("Leave it out", LEAVE_OUT),))


def _tell_parts(text: str) -> Say | None:
    """Say which acts of a wish are understood, and what is not: a language model may read it."""
    acts, open_words = read_parts(text)
    if not acts or any("{" in act for act in acts):
        return None
    words = f"I understand {_quoted(acts)}, but not how the rest of it belongs to that"
    if open_words:
        words = f"I understand {_quoted(acts)}, but not {_quoted(open_words)}"
    return Say(f"{words}: that needs a language model, so I did nothing.", NOT_UNDERSTOOD, "say it in other words")


def _quoted(clauses: Sequence[str]) -> str:
    quoted = []
    for words in clauses[:_MOST_QUOTED]:
        quoted.append(f'"{spoken(words)}"')
    return ", ".join(quoted)
