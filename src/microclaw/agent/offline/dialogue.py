"""One step of the dialogue: the user's sentence, the open question and the tools' results become the next decision.

An answer to the open question completes the sentence that the question was about. This module calls no tool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.agent.language.quantities import is_no, normalize_quantities
from microclaw.agent.language.times import When, open_question, spoken_duration
from microclaw.agent.models.protocol import DeviceContext, KnownDevice, ModelRequest, UserText
from microclaw.agent.offline.actions import ACTIONS
from microclaw.agent.offline.apps import APPS, IT
from microclaw.agent.offline.current_board import USE, choose, current_board, on_current_board
from microclaw.agent.offline.decision import (
    Act,
    CannotDo,
    Context,
    Decider,
    Decision,
    Parse,
    Say,
    ToolFields,
    capitalize,
    read_turn,
)
from microclaw.agent.offline.dialogue_state import (
    DialogueState,
    LastAct,
    Question,
    act_after,
    state_after,
    undoable_after,
)
from microclaw.agent.offline.everything_off import ALL_OFF, EVERYTHING_OFF, ask_all_off
from microclaw.agent.offline.full_board import after_failure, describe_restored
from microclaw.agent.offline.hand_sentences import HANDS
from microclaw.agent.offline.log_questions import LOG_QUESTIONS
from microclaw.agent.offline.memory import MEMORY
from microclaw.agent.offline.more_questions import MORE_QUESTIONS
from microclaw.agent.offline.open_question import ask_again, choose_suggestion, complete_part, complete_question
from microclaw.agent.offline.pattern_values import may_last
from microclaw.agent.offline.programs import PROGRAMS, as_light
from microclaw.agent.offline.questions import QUESTIONS
from microclaw.agent.offline.reading import read
from microclaw.agent.offline.recorded_parts import with_recorded_pins
from microclaw.agent.offline.rules.deciding import decide_rules
from microclaw.agent.offline.schedule_answers import (
    add_schedule,
    answer_added,
    answer_schedules,
    take_back,
    with_capitals,
)
from microclaw.agent.offline.sentences import MAX_SENTENCE_CHARS, REMINDER, english
from microclaw.agent.offline.thing_questions import THING_QUESTIONS
from microclaw.agent.offline.timed_sentences import hour_question, is_window
from microclaw.agent.offline.unfinished import (
    UNFINISHED,
    ask_open_value,
    ask_time,
    complete_words,
    refuse_answer,
)
from microclaw.agent.offline.unknown_sentences import ADD_A_MODEL, NOT_UNDERSTOOD
from microclaw.errors import UndoElsewhere

_ONE_CALL: Final = frozenset({"set_pin", "dim_pin", "read_pin", "read_adc", "read_sensor", "scan_i2c", "list_devices"})
_CORRECTIONS: Final = ("set_pin", "toggle_pin", "dim_pin")
_AT_THE_END: Final = re.compile(r"\S in \d+ ms\b(?! from)")
_REMIND: Final = re.compile(r"(?is)(?:please )?(?:remind|tell|alert|notify|warn) me(?: to| that| about|:)? (.+)")


class ParsedSentence(Struct, frozen=True):
    """A sentence's parse (None if it is not to be acted on), and the decision that follows.

    `confirms`: it is a yes, or a number, that answers a question. `refers`: it is about the last act. `state` is stored
    with the decision if that is an answer.
    """

    parse: Parse | None
    decision: Decision
    confirms: bool = False
    refers: bool = False
    state: DialogueState = field(default_factory=DialogueState)


def understand(request: ModelRequest) -> ParsedSentence:
    """Return the next step of the turn that the messages end with."""
    sentence, results, earlier = read_turn(request.messages)
    last_message = earlier[-1] if earlier else None
    state = state_after(last_message)
    is_short = len(sentence) <= MAX_SENTENCE_CHARS
    if is_short and state.has_question and is_no(sentence):
        return _decline(state)
    choice = choose_suggestion(sentence, state.suggested)
    if isinstance(choice, Say):
        return ParsedSentence(None, choice, state=state)
    asked_context = request.device_context or DeviceContext()
    current = current_board(asked_context, state.board)
    device_context = asked_context
    if current is not None:
        device_context = replace(asked_context, meant=current)
    completed = complete_question(choice or sentence, state.question, device_context, state.suggested)
    reading = completed or _read(sentence, choice, device_context, state)
    context = None
    decision: Decision
    if isinstance(reading, Say):
        decision = reading
    else:
        earlier_texts = tuple(message.text for message in reversed(earlier) if isinstance(message, UserText))
        reading = replace(reading, results=results, earlier=earlier_texts)
        context = _with_board(reading, asked_context, current)
        decision = _decide(context)
    next_state = DialogueState()
    if isinstance(decision, Say):
        decision = _tell_of_models(decision, state)
        next_state = _state_to_store(context, decision, results, state)
    parse = None
    if context is not None:
        parse = context.parse
    has_confirmed = completed is not None and completed.parse.confirmed
    confirms = choice is not None or has_confirmed
    return ParsedSentence(parse, decision, confirms=confirms, refers=reading.refers, state=next_state)


def _read(sentence: str, choice: str | None, device_context: DeviceContext, state: DialogueState) -> Context | Say:
    """Read a sentence that does not complete the open question, or the suggestion that it chose."""
    if choice is not None:
        return read(choice, device_context, state)
    whole = complete_words(sentence, state.question)
    reading = read(whole or sentence, device_context, state)
    if isinstance(reading, Say) and reading.code == NOT_UNDERSTOOD:
        reading = ask_again(refuse_answer(sentence, state.question), state.question, device_context) or reading
    if whole is None:
        reading = complete_part(sentence, state.part, reading, device_context) or reading
    return reading


def _with_board(context: Context, asked: DeviceContext, current: KnownDevice | None) -> Context:
    """Return the sentence on the chat's board, with the pins that are recorded there."""
    if current is not None:
        context = on_current_board(context, asked, current)
    return with_recorded_pins(_ask_about_undo(context))


def one_call(text: str, device_context: DeviceContext) -> Decision | None:
    """Return the only tool call of a sentence, for a schedule that then needs no model, or None if it takes a turn.

    Return Say, with a question or the reason, if the sentence cannot be done.
    """
    reminder = _REMIND.fullmatch(text.strip())
    if reminder is not None:
        return Act("say", {"text": f"Reminder: {reminder[1].strip()}"})
    parsed = understand(ModelRequest("", (UserText(text),), (), device_context=device_context))
    parse = parsed.parse
    decision = parsed.decision
    if isinstance(decision, Say):
        return decision
    if parse is not None and parse.kind == ALL_OFF:
        return Say("Nobody could answer then which pins that is.", "ambiguous", "name them: turn off pin 4 and pin 6")
    if parse is None or parse.kind not in _ONE_CALL:
        return None
    if decision.tool == "deploy-wasm-app" or "pin_2" in parse.values:
        return None
    return decision


def driving_calls(text: str, device_context: DeviceContext) -> list[Act]:
    """Return the calls by which a sentence would drive pins now: of its program, or of each pin that it names."""
    parsed = understand(ModelRequest("", (UserText(text),), (), device_context=device_context))
    act = parsed.decision
    if parsed.parse is None or not isinstance(act, Act):
        return []
    if act.tool == "deploy-wasm-app":
        return [act]
    if act.tool not in ("gpio-set", "pwm-set"):
        return []
    return [replace(act, arguments={**act.arguments, "pin": pin}) for pin in parsed.parse.pins]


def _decline(state: DialogueState) -> ParsedSentence:
    """Answer a no to the open question, or to the suggested sentences."""
    # An act that was done can still be corrected.
    next_state = replace(state, question=None, tried=None, suggested=(), part="")
    return ParsedSentence(None, Say("Then it stays as it is."), state=next_state)


def _ask_about_undo(context: Context) -> Context:
    """Return the sentence as a question, if its undo found the newest act in another conversation; else as it is."""
    if not context.results:
        return context
    last = context.results[-1]
    if last.ok or last.fields.get("error") != UndoElsewhere.code:
        return context
    question = f"{capitalize(str(last.fields['message']))}. Shall I undo that?"
    undoes = tuple(last.fields["changes"])
    return replace(context, parse=Parse("undo", {"asks": question}, undoes=undoes), results=())


def _state_to_store(
    context: Context | None, answer: Say, results: tuple[ToolFields, ...], before: DialogueState
) -> DialogueState:
    """Return the state to be stored with an answer. `context` is None if the sentence was not acted on."""
    act = act_after(context, answer, before.act)
    tried = None
    if act is not None and not act.done:
        tried = act
        act = before.act
    undoable = undoable_after(context, results, before.undoable)
    told_of_models = before.told_of_models or answer.code == NOT_UNDERSTOOD
    part = answer.part
    if answer.code == NOT_UNDERSTOOD:
        part = before.part
    return DialogueState(
        _question(context, answer),
        act,
        undoable,
        answer.suggested,
        told_of_models,
        tried,
        _board_after(context, act, before),
        part,
    )


def _board_after(context: Context | None, act: LastAct | None, before: DialogueState) -> str | None:
    """Return the board of the chat: the one that was chosen, or that of an act that was just done."""
    if context is not None and context.parse.kind == USE and context.named_device is not None:
        return context.named_device.name
    if context is None or act is None or act is before.act:
        return before.board
    # A chat that belongs to a board, or has only one, is about that board whatever a sentence names.
    if context.named_device is None:
        return before.board
    return act.device or before.board


def _tell_of_models(answer: Say, state: DialogueState) -> Say:
    """Return the answer with how to add a model, if it was not understood and this conversation was not told yet."""
    if answer.code != NOT_UNDERSTOOD or state.told_of_models:
        return answer
    return replace(answer, next_step=ADD_A_MODEL)


def _question(context: Context | None, answer: Say) -> Question | None:
    """Return the question that the answer asks, to be stored with it."""
    if context is None or answer.asks is None:
        return None
    device = context.named_device.name if context.named_device else None
    reading = (answer.next_step or "").removeprefix("yes, ")
    parse = context.parse
    if answer.asks == "words":
        parse = Parse(UNFINISHED, {"template": answer.template})
    return Question(answer.asks, parse, context.sentence, device, reading)


def _decide(context: Context) -> Decision:
    """Return the next step: the decision of the sentence's kind, after a yes to the question that it asks first.

    A failed tool ends the turn with its own message. The answer to a correction begins with what was reverted.
    """
    failure = describe_restored(context) or _failure(context)
    if failure is not None and context.parse.kind != "schedules":
        return failure
    question = context.parse.word("asks")
    if question is not None and not context.parse.confirmed:
        return Say(question, "confirm", "yes, undo it", "confirmed")
    try:
        parse = as_light(context.parse, context)
        answer = english().answers.get(parse.word("reason") or parse.kind)
        if answer is not None:
            # The sentence is understood, but it is not a request for an act.
            return answer
        is_correction = bool(parse.undoes) and parse.kind != "undo"
        if is_correction and parse.kind not in _CORRECTIONS:
            return Say("I do not undo the last act by that.", "ambiguous", "undo, then say the whole sentence")
        decision = _DECIDERS[parse.kind](replace(context, parse=parse))
    except CannotDo as exc:
        return exc.args[0]
    if isinstance(decision, Act) or not is_correction:
        return decision
    return replace(decision, text=f"{_describe_undos(context)}{decision.text}")


def _help(context: Context) -> Say:
    """List one example of each kind of sentence that the board can do; of several boards, the first one."""
    device_context = context.device_context
    meant = context.device
    for device in device_context.devices:
        if meant is None and device.board.pins:
            meant = device
    device_context = replace(device_context, meant=meant)

    def can_do(example: str) -> bool:
        if meant is None or english().examples.get(context.parse.kind) == example:
            return True
        reading = read(example, device_context, DialogueState())
        if isinstance(reading, Say):
            return reading.code is None
        decision = _decide(with_recorded_pins(reading))
        return isinstance(decision, Act) or decision.code is None

    return english().help(can_do)


def _failure(context: Context) -> Decision | None:
    """Return the answer if a tool failed, with what was done beside it, or what takes a part back."""
    failed = [result for result in context.results if not result.ok]
    if not failed:
        return None
    last = failed[0]
    # Finding nothing to forget is an answer too. The facts of a pin are known without the board.
    if "removed" in last.fields or context.parse.kind == "pin_facts":
        return None
    on_full_board = after_failure(context)
    if on_full_board is not None:
        return on_full_board
    text = str(last.fields.get("message", "it failed"))
    code = str(last.fields.get("error", "tool_failed"))
    pins = [str(result.fields.get("pin")) for result in context.results[:-1] if result.tool == "gpio-set"]
    if pins:
        text = f"{text}. Set before that: pin {', '.join(pins)}"
    ended = _ended_by(context.results)
    if ended:
        text = f"{text}. Done all the same: {', '.join(ended)}"
    return Say(text, code, last.fields.get("next"))


def _ended_by(results: Sequence[ToolFields]) -> list[str]:
    """Return the programs and schedules that these calls ended."""
    ended = list[str]()
    for result in results:
        if result.ok and result.tool in ("uninstall-wasm-app", "switch-program"):
            ended.append(str(result.fields.get("appName")))
        elif result.ok and result.tool == "schedule-remove":
            ended.append(f"schedule {result.fields.get('removed')}")
    return ended


def _describe_undos(context: Context) -> str:
    """Return a sentence for each change that the correction reverted."""
    text = ""
    for result in context.results:
        if result.tool == "undo":
            message = str(result.fields.get("message", "done"))
            text += f"{capitalize(message)}. "
    return text


def _schedule(context: Context) -> Decision:
    """Add the schedule, if its sentence can be done."""
    added = [result for result in context.results if result.tool == "schedule-add"]
    if added:
        return answer_added(context, added[0])
    when = context.parse.when or When()
    what = context.parse.word("what") or ""
    if when.delay_ms is not None and when.delay_ms <= 0:
        step = f"leave the time out to do it now, or say: {what} in 10 seconds"
        return Say("That time is not in the future, so I did nothing.", "ambiguous", step)
    task = with_capitals(what, context.sentence)
    time_question = ask_time(when, task, context.sentence)
    if time_question is not None:
        return time_question
    question = open_question(when)
    if question is not None:
        return Say(question[0], "ambiguous", f"{task} {question[1]}")
    reminder = REMINDER.match(what)
    if reminder is None:
        return _schedule_act(context, when, what, task)
    if what == reminder[0]:
        task = "remind me: it is time"
    return add_schedule(context, when, task)


def _two_schedules(context: Context) -> Decision:
    """Add the schedules of a sentence one after the other, if each can be done. If one fails, none stays."""
    question = hour_question(context.parse)
    if question is not None:
        return question
    acts = list[Act]()
    for part in context.parse.parts:
        decision = _schedule(replace(context, parse=part, results=()))
        if isinstance(decision, Say):
            return decision
        if decision.tool != "schedule-add":
            return Say("Which pins is that?", "ambiguous", "name them, as in: turn off pin 4 and pin 6")
        acts.append(decision)
    added = [result for result in context.results if result.tool == "schedule-add" and result.ok]
    failed = [result for result in context.results if not result.ok]
    if failed:
        return take_back(context, added, failed[0])
    if len(added) < len(acts):
        # The user has approved the words of the first call, which stand for both.
        words = "" if added else " and ".join(act.words for act in acts)
        return replace(acts[len(added)], words=words)
    return answer_schedules([result.fields for result in added], is_window=is_window(context.parse))


def _schedule_act(context: Context, when: When, what: str, task: str) -> Decision:
    """Add a schedule for an act that can be done now, too; otherwise return the reason why not."""
    parse = english().parse(what)
    if parse is None:
        return Say("I do not understand what to do at that time.", "not_understood", "turn on pin 4 at 22:00")
    if parse.kind == ALL_OFF:
        return ask_all_off(replace(context, parse=parse), when)
    pin = context.parse.values.get("pin")
    if pin is not None:
        parse = replace(parse, values=parse.values | {"pin": pin})
    has_duration = what.startswith("fade ") or may_last(parse)
    if when.delay_ms and has_duration and _AT_THE_END.search(normalize_quantities(context.sentence)):
        time = spoken_duration(when.delay_ms)
        text = f'"In {time}" can be how long it takes, or a wait before it begins, so I did nothing.'
        return Say(text, "ambiguous", f"to wait say: in {time} {task}")
    decision = _decide(with_recorded_pins(replace(context, parse=parse)))
    if isinstance(decision, Say):
        if decision.code is not None:
            return decision
        return add_schedule(context, when, task)
    # "Stop it" means the program of now, not the one of the time when the schedule is due.
    is_it = parse.kind == "remove_app" and parse.word("app") in IT
    if is_it and not decision.words:
        return decision
    if decision.words and parse.kind != "remove_on_pin":
        task = decision.words
    return add_schedule(context, when, task)


_DECIDERS: Final[Mapping[str, Decider]] = {
    **ACTIONS,
    **APPS,
    **PROGRAMS,
    **MEMORY,
    **HANDS,
    "rule": decide_rules,
    **QUESTIONS,
    **MORE_QUESTIONS,
    **THING_QUESTIONS,
    **LOG_QUESTIONS,
    **EVERYTHING_OFF,
    "schedule": _schedule,
    USE: choose,
    "help": _help,
    "schedules": _two_schedules,
    UNFINISHED: ask_open_value,
}
