"""One step of the dialogue: the person's words, the open question and tools' answers become the next decision.

A sentence that a template fits is acted on. What was learned only asks: a loose parse that would change something says
what it read and waits for a yes; one that only asks a device something is answered at once.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from microclaw.models.protocol import AssistantReply, DeviceContext, Message, ModelRequest, ToolReturn, UserText
from microclaw.offline import schedules
from microclaw.offline.actions import ACTIONS
from microclaw.offline.apps import APPS
from microclaw.offline.confidence import LIKE, NOTHING_DONE
from microclaw.offline.decision import Act, CannotDo, Context, Decision, Result, Say, failure, read_return
from microclaw.offline.memory import EXAMPLES as MEMORY_EXAMPLES
from microclaw.offline.memory import MEMORY, parse_memory
from microclaw.offline.parse import Parse, Question
from microclaw.offline.pins import pads_to_pins, split_device
from microclaw.offline.programs import PROGRAMS
from microclaw.offline.rules import RULES
from microclaw.offline.sentences import MAX_SENTENCE_CHARS, Sentences, english, no_more_to_stop

ADD_A_MODEL: Final = (
    "for any sentence set ANTHROPIC_API_KEY, OPENAI_API_KEY, or OPENAI_BASE_URL for a free local model "
    "(Ollama: OPENAI_BASE_URL=http://localhost:11434/v1), then start the host again"
)
_REFUSALS: Final = {
    "destroys": ("I do not erase or overwrite what a board starts from.", "remove programs with: stop NAME"),
    "protection": ("I do not switch off what protects the board.", "remove a program that it stops with: stop NAME"),
    "damages": ("I do not do that: it can damage the board or what is wired to it.", "which pins are free"),
    "people": (
        "I do not do that: mains voltage is dangerous to people and destroys the board.",
        "let someone qualified wire a relay module, then: turn on the relay on pin 4",
    ),
}
_NO_ORDER: Final = {
    "told": "I take that for something you tell me, not for an order",
    "dont": "I take that for something not to do, or only supposed",
    "more": "There is more in that than one order that I can carry out",
}
_READING_TOOLS: Final = frozenset(
    {"gpio-get", "adc-read", "i2c-read", "i2c-scan", "list-devices", "query-wasm-apps", "device-info", "device-status"}
    | {"schedule-list", "recall"}
)
_ONE_CALL: Final = frozenset({"set_pin", "dim_pin", "read_pin", "read_adc", "read_sensor", "scan_i2c", "list_devices"})
_REMIND: Final = re.compile(
    r"(?:please )?(?:remind|tell|alert|notify|warn) me(?: to| that| about|:)? (.+)", re.I | re.S
)


@dataclass(frozen=True, slots=True)
class Understanding:
    """What was said, its parse (None where it is not to be acted on), and what follows from it now."""

    said: str
    before: tuple[Message, ...]
    parse: Parse | None
    decision: Decision
    completes: bool = False  # it answered the question that was open
    question: Question | None = None  # what the decision asks for


def understand(request: ModelRequest) -> Understanding:
    """The next step of the turn that the messages end with."""
    said, results, before = _this_turn(request.messages)
    last = before[-1] if before else None
    open_question = None
    if isinstance(last, AssistantReply) and last.question is not None:
        open_question = Question.from_json(last.question)
    context = completed = None
    if open_question is not None and len(said) <= MAX_SENTENCE_CHARS:
        if open_question.is_declined(said):
            return Understanding(said, before, None, Say("Then nothing was done."), completes=True)
        completed = open_question.completed(said)
    scene = request.scene or DeviceContext()
    if open_question is not None and completed is not None:
        named = next((d for d in scene.devices if d.name == open_question.device), None)
        context = Context(completed, open_question.said, scene, named or scene.meant, named is not None, results)
    found = context or _read(said, scene, results)
    if isinstance(found, Say):
        return Understanding(said, before, None, found)
    decision, asks = _decide(found), None
    if isinstance(decision, Say) and decision.asks is not None:
        device = found.device.name if found.named and found.device else None
        asks = Question(decision.asks, found.parse, found.said, device)
    return Understanding(said, before, found.parse, decision, completed is not None, asks)


def warm_up() -> int:
    """Load the sentences, some 150 ms at first; how many kinds there are."""
    sentences = english()
    sentences.parse("blink the led every second")
    return len(_examples(sentences))


def one_call(text: str, scene: DeviceContext) -> Decision | None:
    """The one call that a sentence comes to, for a schedule: it needs no model then. None where it takes a turn.

    Say where it cannot be done as it stands, with the question or the reason.
    """
    reminder = _REMIND.fullmatch(text.strip())
    if reminder is not None:
        return Act("say", {"text": f"Reminder: {reminder[1].strip()}"})
    found = understand(ModelRequest("", (UserText(text),), (), scene=scene))
    parse, decision = found.parse, found.decision
    if isinstance(decision, Say):
        return decision
    if parse is None or parse.kind not in _ONE_CALL or {"pin_2", "quantity_2"} & parse.values.keys():
        return None
    return decision


def _this_turn(messages: Sequence[Message]) -> tuple[str, tuple[Result, ...], tuple[Message, ...]]:
    """The person's latest text, what tools answered since, and what came before."""
    start = max((i for i, m in enumerate(messages) if isinstance(m, UserText)), default=-1)
    if start < 0:
        return "", (), ()
    first = messages[start]
    assert isinstance(first, UserText)
    returns = tuple(read_return(m) for m in messages[start:] if isinstance(m, ToolReturn))
    return first.text, returns, tuple(messages[:start])


def _read(said: str, scene: DeviceContext, results: tuple[Result, ...]) -> Context | Say:
    """The sentence understood; an answer where there is nothing to do."""
    sentences = english()
    if len(said) > MAX_SENTENCE_CHARS:
        return _not_understood(sentences, said[:MAX_SENTENCE_CHARS])
    memory = parse_memory(said)
    if memory is not None and not _is_for_the_board(memory, said, sentences):
        return Context(memory, said, scene, scene.meant, False, results)
    text, named = split_device(said, scene)
    device = named or scene.meant
    text = pads_to_pins(no_more_to_stop(text), device.board if device else None)
    parse = schedules.parse_schedule(text, sentences) or sentences.parse(text)
    if parse is None:
        return _not_understood(sentences, text)
    if parse.kind in NOTHING_DONE:
        return _nothing_done(sentences, parse)
    return Context(parse, said, scene, device, named is not None, results)


def _is_for_the_board(memory: Parse, said: str, sentences: Sentences) -> bool:
    """Whether what sounds like something to remember or to forget is an order: "note the humidity every minute"."""
    if memory.kind == "forget":
        return schedules.parse_schedule(said, sentences) is not None
    guessed = sentences.guess(said) if memory.kind == "remember" else None
    return guessed is not None and (guessed.kind == "read_sensor_every" or guessed.word("label") == "log")


def _decide(at: Context) -> Decision:
    """The next step; a loose parse that would change something asks first."""
    last = at.results[-1] if at.results else None
    if last is not None and not last.ok and "removed" not in last.fields:  # to find nothing to forget is an answer
        failed, done = failure(last), ", ".join(str(one.fields.get("pin")) for one in at.results[:-1])
        if at.parse.kind == "set_pin" and done:
            return dataclasses.replace(failed, text=f"{failed.text}. Set before that: pin {done}")
        return failed
    try:
        decision = _DECIDERS[at.parse.kind](at)
    except CannotDo as exc:
        return exc.say
    if isinstance(decision, Say) or not at.parse.loose or at.parse.confirmed or decision.tool in _READING_TOOLS:
        return decision
    where = f" on {at.device.name}" if at.device is not None else ""
    text = f"{decision.words[:1].upper()}{decision.words[1:]}{where}?"
    return Say(text, "confirm_reading", f"yes, or say: {decision.words}", "confirmed")


def _schedule(at: Context) -> Decision:
    return schedules.decide_schedule(at, english(), lambda inner: _DECIDERS[inner.parse.kind](inner))


def _help(_at: Context) -> Decision:
    examples = _examples(english())
    lines = "\n".join(f"  {example}" for example in examples)
    return Say(f"Without a model I know {len(examples)} kinds of sentence, in many wordings:\n{lines}")


def _greeting(_at: Context) -> Decision:
    return Say("I am microclaw: I act on the boards of this host and put programs on them.", None, "what can you do")


def _later(_at: Context) -> Decision:
    return Say(
        "Restarting a board and changing its firmware are not possible in this version.",
        "not_possible",
        "do it at the board; this host puts its programs back when the board returns",
    )


def _refuse(at: Context) -> Decision:
    why, instead = _REFUSALS[at.parse.word("reason") or "destroys"]
    return Say(why, "refused", instead)


_DECIDERS: Final[Mapping[str, Callable[[Context], Decision]]] = {
    **ACTIONS,
    **APPS,
    **PROGRAMS,
    **RULES,
    **MEMORY,
    **schedules.SCHEDULES,
    "schedule": _schedule,
    "help": _help,
    "greeting": _greeting,
    "later": _later,
    "unsafe": _refuse,
}


def _nothing_done(sentences: Sentences, parse: Parse) -> Say:
    """A question back, or why there was nothing to do, for a sentence of about this label."""
    label = parse.word("label") or ""
    if label == "more":
        return Say(f"{_NO_ORDER[label]}, so I did nothing. Which one first?", "ambiguous", "for example: turn on pin 4")
    if parse.kind == "no_order":
        return Say(f"{_NO_ORDER[label]}, so I did nothing.", "not_understood", "for example: turn on pin 4")
    example = sentences.examples.get(LIKE.get(label, "set_pin"), "set pin 4 on")
    return Say(
        "I am not sure what you mean, so I did nothing. What should which pin do?",
        "ambiguous",
        f"for example: {example}",
    )


def _not_understood(sentences: Sentences, text: str) -> Say:
    examples = sentences.nearest(text)
    nearest = f" Nearest: {'; '.join(examples)}." if examples else " Ask: what can you do."
    return Say(
        f"I know {len(_examples(sentences))} kinds of sentence without a model, not this one.{nearest}",
        "not_understood",
        ADD_A_MODEL,
    )


def _examples(sentences: Sentences) -> tuple[str, ...]:
    """One sentence of each kind."""
    return (*sentences.examples.values(), *schedules.EXAMPLES, *MEMORY_EXAMPLES)
