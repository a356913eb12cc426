"""The model that needs no network: sentences of fixed kinds become calls of the same tools. It never guesses."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import time
from collections.abc import Sequence

from microclaw.models import acting, managing, programs, remembering, rules, scheduling
from microclaw.models.likely import LIKE, NOTHING_DONE
from microclaw.models.places import pads_to_pins, split_device
from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    Message,
    ModelReply,
    ModelRequest,
    OnText,
    ToolCall,
    ToolReturn,
    UserText,
)
from microclaw.models.quantities import normalize_quantities
from microclaw.models.reply import Act, CannotDo, Decision, Found, Say, Situation, read_return
from microclaw.models.sentences import MAX_SENTENCE_CHARS, Reading, Sentences, english, is_negated, no_more_to_stop

ADD_A_MODEL = (
    "for any sentence set ANTHROPIC_API_KEY, OPENAI_API_KEY, or OPENAI_BASE_URL for a free local model "
    "(Ollama: OPENAI_BASE_URL=http://localhost:11434/v1), then start the host again"
)
_REFUSALS = {
    "destroys": ("I do not erase or overwrite what a board starts from.", "remove programs with: stop NAME"),
    "protection": ("I do not switch off what protects the board.", "remove a program that it stops with: stop NAME"),
    "damages": ("I do not do that: it can damage the board or what is wired to it.", "which pins are free"),
    "people": (
        "I do not do that: mains voltage is dangerous to people and destroys the board.",
        "let someone qualified wire a relay module, then: turn on the relay on pin 4",
    ),
}
_NO_ORDER = {
    "told": "I take that for something you tell me, not for an order",
    "dont": "I take that for something not to do, or only supposed",
    "more": "There is more in that than one order that I can carry out",
}
_BARE_PINS = re.compile(r"(?:(?:on|at|the|its?|it is|it's) )*(?:pin )?\d{1,3}(?: also pin \d{1,3})*")
_BARE_PERCENT = re.compile(r"(?:(?:at|to|make it) )*(-?\d+) milli percent")
_REFERS = re.compile(r"\b(?:it|its|that|this|them|those|these|one|ones|again|same|there|then|instead|before)\b", re.I)
_SMALL_TALK = frozenset({"help", "greeting"}) | remembering.KINDS  # a model has more to say
_CALL = "offline-"
_ONE_CALL = frozenset({"set_pin", "dim_pin", "read_pin", "read_adc", "read_sensor", "scan_i2c", "list_devices"})
_REMIND = re.compile(r"(?:please )?(?:remind|tell|alert|notify|warn) me(?: to| that| about|:)? (.+)", re.I | re.S)
_YES = frozenset({"yes", "yes do it", "do it", "y", "sure", "yes please"})


class OfflineModel:
    """Answers from templates, which the first sentence or `warm_up` loads."""

    name = "offline"

    async def warm_up(self) -> None:
        await asyncio.to_thread(warm_up)

    async def aclose(self) -> None:
        pass

    def is_sure(self, request: ModelRequest) -> bool:
        """Whether the templates alone do what was asked, so that no better model is needed.

        A whole sentence of a kind that acts or asks something, which needs nothing said before and nothing asked
        back. A turn that began here ends here.
        """
        start = max((i for i, m in enumerate(request.messages) if isinstance(m, UserText)), default=-1)
        if request.task != "chat" or start < 0:
            return False
        asked = request.messages[start]
        calls = [c for m in request.messages[start:] if isinstance(m, AssistantReply) for c in m.calls]
        if calls:
            return all(c.call_id.startswith(_CALL) for c in calls)
        assert isinstance(asked, UserText)
        return not asked.images and _is_sure(request, asked.text, request.messages[:start])

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """The next step of the turn: a tool call while one is needed, else the answer, which comes at once."""
        began = time.perf_counter()
        decision = _decide(request)
        took_ms = max(1.0, (time.perf_counter() - began) * 1000)
        note = f"offline, {took_ms:.0f} ms, cost 0"
        match decision:
            case Act():
                call = ToolCall(_call_id(request.messages), decision.tool, json.dumps(decision.arguments))
                return ModelReply(
                    "",
                    (call,),
                    note=note if decision.intent else "",
                    intent=decision.intent,
                    plan=decision.plan,
                    code_origin=decision.code_origin,
                    literal=_is_literal(request.messages),
                )
            case Say():
                if on_text is not None:
                    on_text(decision.text)
                return ModelReply(decision.text, note=note, failed_code=decision.code, next_step=decision.next_step)


def warm_up() -> int:
    """Load the sentences, some 150 ms at first; how many kinds there are."""
    sentences = english()
    sentences.read("blink the led every second")
    return len(_examples(sentences))


def one_call(text: str, scene: DeviceContext) -> Decision | None:
    """The one call that a sentence comes to, for a schedule: it needs no model then. None where it takes a turn.

    Say where it cannot be done as it stands, with the question or the reason.
    """
    reminder = _REMIND.fullmatch(text.strip())
    if reminder is not None:
        return Act("say", {"text": f"Reminder: {reminder[1].strip()}"})
    reading, decision = _understood(ModelRequest("", (UserText(text),), (), scene=scene))
    if isinstance(decision, _Unknown):
        return _not_understood(english(), decision.text)
    if isinstance(decision, Say):
        return decision
    single = reading is not None and reading.kind in _ONE_CALL and not {"pin_2", "quantity_2"} & reading.values.keys()
    return decision if single else None


@dataclasses.dataclass(frozen=True, slots=True)
class _Unknown:
    """A sentence of no known kind. Which are nearest is looked for when somebody is told: it costs milliseconds."""

    text: str


def _decide(request: ModelRequest) -> Decision:
    decision = _understood(request)[1]
    return _not_understood(english(), decision.text) if isinstance(decision, _Unknown) else decision


def _is_sure(request: ModelRequest, text: str, before: Sequence[Message]) -> bool:
    """Whether a first message of a turn is a sentence to act on as it stands."""
    last = before[-1] if before else None
    if last is not None and not (isinstance(last, AssistantReply) and not last.calls):
        return False  # it steers a turn that is under way
    reading, decision = _understood(request)
    if reading is None or reading.loose or reading.kind in _SMALL_TALK:
        return False
    if isinstance(decision, Say) and decision.code is not None:
        return False
    if before and _completed(english(), text, before) is not None:
        return bool(reading.values.get("confirmed"))
    if isinstance(last, AssistantReply) and last.text.rstrip().endswith("?"):
        return False
    if before and reading.kind != "undo" and _REFERS.search(text):
        return False
    return reading.kind not in ("remove_app", "app_status") or _knows_app(request.scene, reading.word("app") or "")


def _knows_app(scene: DeviceContext | None, said: str) -> bool:
    """Whether a program of about that name is on a board: "stop the music" may mean something else."""
    begins = re.sub(r"[\W_]+", "", said.lower())[:4]
    names = [app.name for device in scene.devices for app in device.apps] if scene else []
    return any(re.sub(r"[\W_]+", "", name.lower()).startswith(begins) for name in names)


def _is_literal(messages: Sequence[Message]) -> bool:
    """Whether this turn's sentence says all of it: none that completes an earlier one, or points back at something."""
    said, _, before = _this_turn(messages)
    return not before or (_completed(english(), said, before) is None and not _REFERS.search(said))


def _understood(request: ModelRequest) -> tuple[Reading | None, Decision | _Unknown]:
    """The sentence's reading and what follows from it now; no reading where it is not to be acted on."""
    sentences = english()
    said, returns, before = _this_turn(request.messages)
    scene = request.scene or DeviceContext()
    if len(said) > MAX_SENTENCE_CHARS:
        return None, _Unknown(said[:MAX_SENTENCE_CHARS])
    kept = remembering.read(said)
    if kept is not None and not _is_for_the_board(kept, said, sentences):
        return kept, _next_step(sentences, Situation(kept, said, scene, scene.meant, False, returns))
    text, named = split_device(said, scene)
    text = no_more_to_stop(text)
    device = named or scene.meant
    text = pads_to_pins(text, device.board if device else None)
    reading = None
    if is_negated(text):
        reading = sentences.guess(text)
        if reading is None or reading.kind in NOTHING_DONE:
            negated = "That says what not to do, so I did nothing."
            return None, Say(negated, "negated", "say what to do instead, as in: stop blink")
    completed = _completed(sentences, text, before) if reading is None else None
    if completed is not None:
        reading, said = completed
    reading = reading or scheduling.read(text, sentences) or sentences.read(text)
    if reading is not None and reading.kind in NOTHING_DONE:
        return None, _nothing_done(sentences, reading)
    if reading is None:
        return None, _Unknown(text)
    try:
        return reading, _next_step(sentences, Situation(reading, said, scene, device, named is not None, returns))
    except CannotDo as exc:
        return reading, exc.say


def _is_for_the_board(kept: Reading, said: str, sentences: Sentences) -> bool:
    """Whether what sounds like something to remember or to forget is an order: "note the humidity every minute"."""
    if kept.kind == "forget":
        return scheduling.read(said, sentences) is not None
    guessed = sentences.guess(said) if kept.kind == "remember" else None
    return guessed is not None and (guessed.kind == "read_sensor_every" or guessed.word("label") == "log")


def _next_step(sentences: Sentences, at: Situation) -> Decision:
    kind = at.reading.kind
    if kind in programs.KINDS:
        return programs.decide(at)
    if kind in rules.KINDS:
        return rules.decide(at)
    if kind in acting.KINDS:
        return acting.decide(at)
    if kind in managing.KINDS:
        return managing.decide(at)
    if kind in remembering.KINDS:
        return remembering.decide(at)
    if kind in scheduling.KINDS:
        return scheduling.decide(
            at, lambda inner: _next_step(sentences, dataclasses.replace(at, reading=inner)), sentences
        )
    match kind:
        case "help":
            return _help(sentences)
        case "greeting":
            return Say(
                "I am microclaw: I act on the boards of this host and put programs on them.", None, "what can you do"
            )
        case "later":
            return Say(
                "Restarting a board and changing its firmware are not possible in this version.",
                "not_possible",
                "do it at the board; this host puts its programs back when the board returns",
            )
        case "unsafe":
            return _refused(at.reading.word("reason") or "destroys")
        case _:
            raise AssertionError(f"no way to answer the kind of sentence {kind!r}")


def _nothing_done(sentences: Sentences, reading: Reading) -> Say:
    """A question back, or why there was nothing to do, for a sentence of about this label."""
    label = reading.word("label") or ""
    if label == "more":
        return Say(f"{_NO_ORDER[label]}, so I did nothing. Which one first?", "ambiguous", "for example: turn on pin 4")
    if reading.kind == "no_order":
        return Say(f"{_NO_ORDER[label]}, so I did nothing.", "not_understood", "for example: turn on pin 4")
    example = sentences.examples.get(LIKE.get(label, "set_pin"), "set pin 4 on")
    return Say(
        "I am not sure what you mean, so I did nothing. What should which pin do?",
        "ambiguous",
        f"for example: {example}",
    )


def _refused(reason: str) -> Say:
    why, instead = _REFUSALS[reason]
    return Say(why, "refused", instead)


def _this_turn(messages: Sequence[Message]) -> tuple[str, tuple[Found, ...], tuple[Message, ...]]:
    """The person's latest text, what tools answered since, and what came before."""
    start = max((i for i, m in enumerate(messages) if isinstance(m, UserText)), default=-1)
    if start < 0:
        return "", (), ()
    first = messages[start]
    assert isinstance(first, UserText)
    returns = tuple(read_return(m) for m in messages[start:] if isinstance(m, ToolReturn))
    return first.text, returns, tuple(messages[:start])


def _completed(sentences: Sentences, text: str, before: Sequence[Message]) -> tuple[Reading, str] | None:
    """ "pin 4" or "yes" after our own question complete the sentence that made us ask; its reading and itself."""
    if len(before) < 2:
        return None
    asked, question = before[-2], before[-1]
    if not (isinstance(asked, UserText) and isinstance(question, AssistantReply)) or is_negated(asked.text):
        return None
    answer, asks = normalize_quantities(text), question.text.lower()
    pins, percent = _BARE_PINS.fullmatch(answer), _BARE_PERCENT.fullmatch(answer)
    answers = pins or percent or answer in _YES
    earlier = (scheduling.read(asked.text, sentences) or sentences.read(asked.text)) if answers else None
    if earlier is None:
        return None
    values: dict[str, int | bool] = {}
    if pins and "which pins" in asks:
        numbers = re.findall(r"\d+", answer)
        values = {f"pin_{n}" if n > 1 else "pin": int(number) for n, number in enumerate(numbers, start=1)}
        earlier = dataclasses.replace(earlier, values={k: v for k, v in earlier.values.items() if k[:3] != "pin"})
    elif pins and "which pin" in asks and answer.count("pin") < 2:
        values = {"button_pin" if "button on?" in question.text else "pin": int(re.findall(r"\d+", answer)[0])}
    elif percent and "how bright" in asks:
        values = {"milli": int(percent[1])}
    elif answer in _YES and earlier.kind in ("remove_all", "cancel_schedule") and "say yes" in asks:
        values = {"confirmed": True}
    if not values:
        return None
    return dataclasses.replace(earlier, values={**earlier.values, **values}), asked.text


def _not_understood(sentences: Sentences, text: str) -> Say:
    examples = sentences.nearest(text)
    nearest = f" Nearest: {'; '.join(examples)}." if examples else " Ask: what can you do."
    return Say(
        f"I know {len(_examples(sentences))} kinds of sentence without a model, not this one.{nearest}",
        "not_understood",
        ADD_A_MODEL,
    )


def _help(sentences: Sentences) -> Say:
    examples = _examples(sentences)
    lines = "\n".join(f"  {example}" for example in examples)
    return Say(f"Without a model I know {len(examples)} kinds of sentence, in many wordings:\n{lines}")


def _examples(sentences: Sentences) -> tuple[str, ...]:
    """One sentence of each kind."""
    return (*sentences.examples.values(), *scheduling.EXAMPLES, *remembering.EXAMPLES)


def _call_id(messages: Sequence[Message]) -> str:
    return f"{_CALL}{len(messages)}"
