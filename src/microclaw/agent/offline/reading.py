"""Reads a sentence as it is meant in its chat: a fact, boards, the last act, else a template. It decides nothing.

If no template fits, it asks about the nearest known sentences.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.plain_wording import plain_wording
from microclaw.agent.language.quantities import NEGATIONS, is_no, is_yes, normalize_quantities, without_commas
from microclaw.agent.language.wired_things import with_wired_things
from microclaw.agent.models.protocol import DeviceContext, KnownDevice
from microclaw.agent.offline import boards, follow_ups
from microclaw.agent.offline.current_board import read_choice, write_other_board
from microclaw.agent.offline.decision import CannotDo, Context, Parse, Say
from microclaw.agent.offline.dialogue_state import DialogueState, LastAct
from microclaw.agent.offline.display_sentences import parse_display_sentence
from microclaw.agent.offline.everyday_questions import parse_everyday_question
from microclaw.agent.offline.hand_sentences import parse_hand_sentence
from microclaw.agent.offline.impossible_wishes import refuse_first, refuse_foreign
from microclaw.agent.offline.memory import names_to_pins, parse_memory
from microclaw.agent.offline.own_words import asked_sentence, parse_own_words
from microclaw.agent.offline.ready_programs import parse_installation
from microclaw.agent.offline.sentences import MAX_SENTENCE_CHARS, english
from microclaw.agent.offline.timed_sentences import parse_two_times
from microclaw.agent.offline.unfinished import UNFINISHED, parse_unfinished
from microclaw.agent.offline.unknown_sentences import NOT_UNDERSTOOD, answer_unknown
from microclaw.events import NOTHING_WAITS

# Kinds of follow-ups that are about an act that was tried.
_OF_TRIED: Final = frozenset({"no", "correct", "same", "again", "also"})
_NEGATION: Final = re.compile(rf"\b(?!not more than once\b)(?:{NEGATIONS}|nor|except|without)\b")
_NOTHING: Final = "Nothing was done in this chat just now that this can be about, so I did nothing. What do you mean?"
# A question of these kinds without a pin is about what the user calls a thing by.
_ABOUT_THINGS: Final = frozenset({"read_pin", "pin_reason", "next_run"})
# A sentence of these kinds that names a pin is never a fact to remember.
_OF_PINS: Final = frozenset({"set_pin", "toggle_pin", "dim_pin", "read_pin", "read_adc"})
# "Note the humidity every minute" and "forget the alarm" are not about memory.
_NO_FACT: Final = ("read_sensor_every", "cancel_schedule")


def read(sentence: str, device_context: DeviceContext, state: DialogueState) -> Context | Say:
    """Read a sentence as it is meant in its chat."""
    sentence = asked_sentence(sentence)
    if len(sentence) > MAX_SENTENCE_CHARS:
        return answer_unknown(sentence, "", device_context, None)
    # A fact is read first: a board's name, a pad or a "not" inside it is a part of the fact.
    fact = _read_fact(sentence, device_context)
    if fact is not None:
        return fact
    chosen_board = read_choice(sentence, device_context)
    if chosen_board is not None:
        return chosen_board
    try:
        text = boards.write_names(write_other_board(sentence, device_context), device_context)
    except CannotDo as exc:
        return exc.args[0]
    choice = boards.choose_board(text, device_context)
    if isinstance(choice, Say):
        return choice
    device = None
    if choice is not None:
        text, device = choice
    return _read_on_board(sentence, text, device_context, device, state)


def _read_on_board(
    sentence: str, text: str, device_context: DeviceContext, device: KnownDevice | None, state: DialogueState
) -> Context | Say:
    """Read a sentence whose board is known. `text` is it without its board."""
    meant_device = device or device_context.meant
    board = meant_device.board if meant_device else None
    # A display may show any text, also one that reads as an order.
    part_parse = parse_display_sentence(text, meant_device) or parse_hand_sentence(text, device_context, meant_device)
    if part_parse is not None:
        return Context(part_parse, text, device_context, device)
    text = boards.boot_button_to_pin(boards.pads_to_pins(text, board), board)
    named_text = text
    text, device = names_to_pins(text, device_context, device)
    state = _without_removed_device(state, device_context)
    act = _meant_act(text, state)
    if act is not None:
        follow_up = _read_follow_up(text, device_context, device, act)
        if follow_up is not None:
            return follow_up
    if is_yes(sentence):
        return _answer_without_question("yes")
    if is_no(sentence):
        return _answer_without_question("no")
    return _read_template(text, named_text, device_context, device, state)


def find_device(device_context: DeviceContext, name: str | None) -> KnownDevice | None:
    """Return the device with this name, or None."""
    for device in device_context.devices:
        if device.name == name:
            return device
    return None


def _read_fact(sentence: str, device_context: DeviceContext) -> Context | None:
    """Read a sentence about memory, or about a pin that it names with its number; None for any other sentence."""
    parse = english().parse(sentence)
    memory = parse_memory(sentence)
    if parse is not None and parse.kind in _OF_PINS and parse.number("pin") is not None:
        return Context(parse, sentence, device_context)
    if memory is None:
        return None
    if parse is not None and parse.kind in _NO_FACT:
        return None
    return Context(memory, sentence, device_context)


def _without_removed_device(state: DialogueState, device_context: DeviceContext) -> DialogueState:
    """Return the state without acts whose device was removed: "it" then means nothing."""

    def is_gone(act: LastAct | None) -> bool:
        return act is not None and act.device is not None and find_device(device_context, act.device) is None

    if is_gone(state.act):
        state = replace(state, act=None)
    if is_gone(state.tried):
        state = replace(state, tried=None)
    return state


def _meant_act(text: str, state: DialogueState) -> LastAct | None:
    """Return the act that a sentence may be about: the last one that was done.

    A correction or a repetition directly after an act that was not done is about that one.
    """
    if state.tried is None or state.act is None:
        return state.act or state.tried
    follow_up = english().reference(without_commas(text))
    if follow_up is not None and follow_up.kind in _OF_TRIED:
        return state.tried
    return state.act


def _read_follow_up(
    text: str, device_context: DeviceContext, device: KnownDevice | None, act: LastAct
) -> Context | Say | None:
    """Read a sentence about the last act. Return a question if it is not clear, and None for other sentences."""
    is_elsewhere = device is not None and device.name != act.device
    try:
        parse = follow_ups.parse_about_last_act(text, act, elsewhere=is_elsewhere)
        if parse is None:
            with_target = follow_ups.with_target(text, act)
            if with_target is None:
                return None
            parse, text = with_target
    except CannotDo as exc:
        return replace(exc.args[0], refers=True)
    target_device = device or find_device(device_context, act.device) or device_context.meant
    return Context(parse, text, device_context, target_device, refers=True)


def _answer_without_question(word: str) -> Say:
    return Say(f"Nothing waits for a {word} in this chat.", NOTHING_WAITS, refers=True)


def _parse(text: str) -> Parse | Say | None:
    return english().parse(text) or parse_two_times(text)


def _parse_plainly(text: str) -> tuple[Parse | Say | None, str]:
    """Parse a sentence as it stands, else in its plain wording. Return the wording that was understood, too."""
    parse = _parse(text)
    # A "not" must not be taken for a part of a thing's name.
    if parse is not None or _NEGATION.search(text.lower()):
        return parse, text
    wish = with_wired_things(text) or text
    plain_text = plain_wording(normalize_quantities(wish))
    parse = _parse(plain_text)
    if parse is None:
        return None, text
    return parse, plain_text


def _read_unfinished(
    text: str, device_context: DeviceContext, device: KnownDevice | None, state: DialogueState
) -> Context | Say | None:
    """Read a sentence that fits no template: about no act, an installation, or with an open value."""
    has_no_act = state.act is None and state.tried is None
    if has_no_act and english().reference(without_commas(text)) is not None:
        return Say(_NOTHING, "ambiguous", "say the whole sentence, as in: blink pin 2 every 200 ms")
    reading = parse_installation(text) or parse_unfinished(text)
    if reading is None or isinstance(reading, Say):
        return reading
    return Context(reading, text, device_context, device)


def _read_unknown(
    text: str, named_text: str, device_context: DeviceContext, device: KnownDevice | None
) -> Context | Say:
    """Read a sentence that fits no template: of a board that is not known, else in own words, else not at all."""
    unknown_device = boards.unknown_device(text, device_context)
    if unknown_device is not None:
        return unknown_device
    answer = answer_unknown(text, named_text, device_context, device)
    if answer.code != NOT_UNDERSTOOD:
        return answer
    own = parse_own_words(text, device_context, device)
    if own is None or (answer.suggested and _does_more(answer, own)):
        return answer
    if isinstance(own, Say):
        return own
    return Context(own, text, device_context, device)


def _does_more(answer: Say, own: Parse | Say) -> bool:
    """Return True if the suggested sentences do more of a wish than what is understood of it in own words."""
    if isinstance(own, Parse):
        return own.kind == UNFINISHED and not answer.does_less
    return own.code == NOT_UNDERSTOOD


def _may_be_everyday(parse: Parse | None, text: str) -> bool:
    """Return True for a sentence that no template fits, and for a question about a thing without its pin."""
    if parse is None:
        return True
    is_led = parse.word("thing") == "led" and re.search(r"(?i)\bleds?\b", text) is not None
    return parse.kind in _ABOUT_THINGS and not parse.pins and not is_led


def _read_template(
    text: str, named_text: str, device_context: DeviceContext, device: KnownDevice | None, state: DialogueState
) -> Context | Say:
    """Read a sentence that needs nothing before it. Return a question if no template fits.

    `named_text` still has the names of parts.
    """
    refusal = refuse_first(text, device or device_context.meant)
    if refusal is not None:
        return refusal
    parse, text = _parse_plainly(text)
    if isinstance(parse, Say):
        return parse
    if parse is None:
        refusal = refuse_foreign(text)
        if refusal is not None:
            return refusal
    if boards.unknown_device(text, device_context) is None and _may_be_everyday(parse, text):
        parse = parse_everyday_question(text) or parse
    if parse is None:
        reading = _read_unfinished(text, device_context, device, state)
        return reading or _read_unknown(text, named_text, device_context, device)
    if parse.kind == "undo" and state.undoable and device is None:
        newest = state.undoable[-1]
        # None stands for a change in the change log, which the sentence reverts as it is.
        if newest is not None:
            parse = replace(newest, values=newest.values | {"undo": True})
    return Context(parse, text, device_context, device)
