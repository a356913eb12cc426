"""The answer to a sentence that no template fits: what it may mean, asked and never done.

A guess has the same verbs and conditions as the sentence. A question is never answered with an act. No guess is better
than a bad one.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Final

from microclaw.agent.language.quantities import NEGATIONS, normalize_quantities
from microclaw.agent.language.spoken import spoken
from microclaw.agent.language.times import DAYS
from microclaw.agent.models.protocol import DeviceContext, KnownDevice
from microclaw.agent.offline.decision import Say, capitalize, number_sentences
from microclaw.agent.offline.impossible_wishes import find_obstacle, pins_in
from microclaw.agent.offline.memory import names_to_pins
from microclaw.agent.offline.offered_programs import fit_programs, mention, offer
from microclaw.agent.offline.order_words import is_misspelt, known_words
from microclaw.agent.offline.ready_programs import find_ready_programs, ready_texts
from microclaw.agent.offline.recorded_parts import fits_wiring, recorded_sentences
from microclaw.agent.offline.sentences import MAX_SENTENCE_CHARS, english
from microclaw.agent.wishes.things import thing_words

ADD_A_MODEL: Final = (
    "a language model reads any wording: set ANTHROPIC_API_KEY, OPENAI_API_KEY, or OPENAI_BASE_URL for a local one"
)
"""Said once in a conversation."""
NOT_UNDERSTOOD: Final = "not_understood"
_HELP: Final = "what can you do"
_QUESTION: Final = re.compile(
    r"(?i)^\W*(?:(?:hi|hello|hey|(?:good )?(?:morning|evening|afternoon|day))(?: there)?\W+)?"
    r"(?:and |but |so )?(?:why|what|whats|which|who|whose|whom|where|how|is|are|am|was|were|do|does|did|has|had"
    r"|list (?:all|my|the|our|me|every)|when (?:is|are|was|were|do|does|did|will)|have (?:i|you|we|they)"
    r"|should|shall|may|might|i wonder|(?:would|will) (?:the|my|our|pin)"
    r"|(?:explain|describe)(?: to (?:me|us))? (?:what|why|which|how)|tell me (?:(?:if|whether)"
    r"(?!.* (?:falls|drops|rises|climbs|gets|goes) )|why|what|which|who|how)"
    r"|.*[,.!] (?:so )?what can you(?: actually)? do)\b"
)
_REQUEST: Final = re.compile(
    r"(?i)\W*(?:please )?(?:can|could|would|will)\b(?! (?:i|we|an?|one)\b)"
    r"|.*[,;:.] (?:so )?(?:can|could|would|will) you\b"
)
_ABOUT_PROGRAMS: Final = re.compile(r"(?i)^\W*(?:how|what|which|is there|are there|do you|can)\b")
_WORDS_OF_TIMES: Final = frozenset({*DAYS, "day", "days", "weekdays", "st", "nd", "rd", "th"})
# What a guess must have, too: without it another thing would be done.
_DECISIVE: Final = re.compile(
    rf"\d+|\b(?:when|if|while|until|off|only|except|without|yesterday|tomorrow|tonight|ago|by (?=\d)"
    rf"|back|slowly|gently|gradually|{NEGATIONS})\b"
)
_OF_BOARDS: Final = re.compile(
    r"(?i)\b(?:pins?|gpios?|io ?\d+|boards?|devices?|programs?|apps?|schedules?|displays?|screens?|sensors?|servos?|i2c"
    r"|temperature|humidity|pressure|it|them)\b"
)
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_LONG_WORD: Final = 5
_ASKING: Final = frozenset(
    ("read_pin", "read_adc", "read_sensor", "scan_i2c", "list_devices", "device_info", "device_status", "pin_facts")
    + ("list_apps", "app_status", "list_schedules", "help", "clock", "recall")
)
"""Kinds of sentences that change nothing."""


def answer_unknown(text: str, named_text: str, device_context: DeviceContext, device: KnownDevice | None) -> Say:
    """Ask what the sentence means, by the nearest sentences and ready programs; `named_text` has the names of parts."""
    unreadable = _unreadable(text)
    if unreadable is not None:
        return unreadable
    meant_device = device or device_context.meant
    guess = _guess(text, named_text, device_context, device)
    if guess is not None and guess.code == "confirm_reading":
        return guess
    programs = fit_programs(find_ready_programs(text), named_text or text)
    obstacle = find_obstacle(text, meant_device, programs)
    if obstacle is not None:
        return obstacle
    apology = _apology(text)
    if not _is_english(text):
        # It may be English about something else, so the first sentence stays.
        apology = f"{apology} I know English words only."
        if guess is None or len(guess.suggested) != 1:
            return Say(f"{apology} Ask: {_HELP}.", NOT_UNDERSTOOD, f"say it in English, or: {_HELP}")
    if is_question(text):
        programs = programs if _ABOUT_PROGRAMS.search(text) else []
        if programs and guess is None:
            return Say(f"{apology} {mention(programs)}", NOT_UNDERSTOOD, programs[0].example)
    elif programs:
        offered, sentences = offer(programs, meant_device)
        suggested = _on_device(sentences, device)
        does_less = bool(programs[0].left_out)
        text = f"{apology} {offered}"
        return Say(text, NOT_UNDERSTOOD, f"no, or: {_HELP}", suggested=suggested, does_less=does_less)
    if guess is None:
        return Say(f"{apology} Ask: {_HELP}.", NOT_UNDERSTOOD, _HELP)
    return Say(f"{apology} {guess.text}", NOT_UNDERSTOOD, f"yes, no, or: {_HELP}", suggested=guess.suggested)


def _apology(text: str) -> str:
    """Say that nothing was done, and if the sentence names nothing that boards have, that."""
    words = set(_LETTERS.findall(text.lower()))
    if words & thing_words() or _OF_BOARDS.search(text):
        return "I did not understand that, so I did nothing."
    return "I did nothing: that names no pin, part or sensor that I know."


def _unreadable(text: str) -> Say | None:
    if len(text) > MAX_SENTENCE_CHARS:
        text = f"That is longer than {MAX_SENTENCE_CHARS} characters, so I did nothing."
        return Say(text, NOT_UNDERSTOOD, "say one thing in a sentence")
    if not _LETTERS.search(text):
        return Say("No word is in that, so I did nothing.", NOT_UNDERSTOOD, _HELP)
    return None


def is_question(text: str) -> bool:
    """Return True for a question: its answer tells something, and nothing is done."""
    if _QUESTION.search(text):
        return True
    return text.rstrip().endswith("?") and _REQUEST.match(text) is None


def _guess(text: str, named_text: str, device_context: DeviceContext, device: KnownDevice | None) -> Say | None:
    """Return the question about the nearest known sentences, or None if none is near enough."""
    named_pins = pins_in(text)
    meant_device = device or device_context.meant
    asks = is_question(text)

    def may_suggest(sentence: str) -> bool:
        parse = english().parse(sentence)
        if asks and (parse is None or parse.kind not in _ASKING):
            return False
        if meant_device is None or not meant_device.record.parts:
            return True
        if any(meant_device.record.on_pin(pin) for pin in pins_in(sentence) - named_pins):
            # An example has pins of its own, which the user did not name.
            return False
        pinned, _ = names_to_pins(sentence, device_context, device)
        return _fits_record(pinned, meant_device)

    nearest = english().nearest(text, named_text, recorded_sentences(meant_device), may_suggest)
    said = named_text or text
    sentences = tuple(spoken(sentence) for sentence in nearest.sentences if not _drops_words(said, sentence))
    examples = _on_device(sentences, device)
    if nearest.is_same and sentences:
        question = f"{capitalize(sentences[0])}?"
        if meant_device is not None:
            question = f"{capitalize(sentences[0])} on {meant_device.name}?"
        return Say(question, "confirm_reading", f"yes, or say: {examples[0]}", suggested=examples)
    if not examples:
        return None
    question = f"Did you mean: {number_sentences(examples)}?"
    if len(examples) == 1:
        question = f"Did you mean: {examples[0]}?"
    return Say(question, NOT_UNDERSTOOD, suggested=examples)


def _drops_words(text: str, sentence: str) -> bool:
    """Return True if a guess lacks a number, a condition, a limit or an "off" of the sentence."""
    wanted = _DECISIVE.findall(normalize_quantities(text))
    return bool(Counter(wanted) - Counter(_DECISIVE.findall(normalize_quantities(sentence))))


def _on_device(sentences: tuple[str, ...], device: KnownDevice | None) -> tuple[str, ...]:
    if device is None:
        return sentences
    return tuple(f"{sentence} on {device.name}" for sentence in sentences)


def _is_english(text: str) -> bool:
    """Return True if more than half of the words are known ones, some with a slip of the keyboard."""
    words = _LETTERS.findall(text.lower())
    known_count = sum(map(_is_known, words))
    return 2 * known_count > len(words)


def _is_known(word: str) -> bool:
    if word in vocabulary():
        return True
    return len(word) >= _LONG_WORD and is_misspelt(word, tuple(vocabulary()))


@cache
def vocabulary() -> frozenset[str]:
    """Return the English words that are known here: of the templates, the known sentences and the ready programs."""
    words = set(known_words() | _WORDS_OF_TIMES)
    texts = [*english().near, *english().examples.values(), *ready_texts()]
    for variants in english().near.values():
        texts += variants
    for text in texts:
        words |= set(_LETTERS.findall(text.lower()))
    return frozenset(words)


def _fits_record(sentence: str, device: KnownDevice) -> bool:
    """Return False for a sentence that takes a recorded part for another one, or that needs a pin that it lacks."""
    parse = english().parse(sentence)
    if parse is None:
        return True
    if parse.word("thing") == "load" and not parse.pins:
        return False
    return fits_wiring(parse, device.record)
