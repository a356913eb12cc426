"""The state that the offline dialogue keeps with an answer: its open question, and its last act for sentences about it.

Plain values, no IO. They are stored with the answer as JSON, so that a restart of the host loses none.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from microclaw.models.protocol import AssistantReply, Message
from microclaw.offline.decision import Context, Result, Say, capital
from microclaw.offline.lights import LIGHTS
from microclaw.offline.names import told_name
from microclaw.offline.parse import PIN_SLOTS, Parse, Question, Values
from microclaw.offline.programs import PROGRAMS
from microclaw.offline.unlogged import UnloggedActs

PROGRAMS_ON_PINS: Final = frozenset({*PROGRAMS, *LIGHTS}) - {"read_sensor_every", "publish"}
ON_SEVERAL: Final = "several_boards"
"""The kind of an act on several boards."""
MAX_TAKEN_BACK: Final = 16
"""So many changes one correction reverts."""
TAKE_BACK: Final = "take_back"
"""The kind of "Shall I undo it?"."""
CHANGING_TOOLS: Final = frozenset(
    {"gpio-set", "pwm-set", "deploy-wasm-app", "uninstall-wasm-app", "switch-program", "set-program-times", "undo"}
    | {"schedule-add", "schedule-remove"}
)
_OTHER_KINDS: Final = frozenset(
    {"set_pin", "toggle_pin", "dim_pin", "read_pin", "read_adc", "read_sensor", "read_sensor_every"}
    | {"remove_app", "schedule"}
)
_ASIDES: Final = frozenset(
    {"help", "greeting", "clock", "remember", "list_schedules"}
)  # after them "it" is still what it was
_MAX_AGE: Final = 3  # answers in between that changed nothing


class LastAct(Struct, frozen=True):
    """The last act done or tried: its kind, pins and numbers (`parse`), and where.

    `done`: a tool carried it out; else it was refused or asked about, and a parse that was learned stays loose.
    `changes` are the numbers that take it back, in the order in which they were made. `app` is its program, `replaced`
    says that one of that name was there before, `stopped` that it was taken off again. `others` are pins to which the
    same was done just before. `age` counts the answers since.
    """

    parse: Parse
    said: str
    device: str | None = None
    done: bool = True
    changes: tuple[int, ...] = ()
    app: str | None = None
    replaced: bool = False
    stopped: bool = False
    schedule: int | None = None
    others: tuple[int, ...] = ()
    age: int = 0

    @property
    def kind(self) -> str:
        return self.parse.kind

    @property
    def pins(self) -> tuple[int, ...]:
        """The pins that its sentence named; empty for the board's LED and for what has no pin."""
        return self.parse.pins

    @property
    def is_on_led(self) -> bool:
        return not self.pins and self.parse.word("thing") == "led"

    @property
    def runs(self) -> bool:
        """True if its program was left on the device."""
        return self.app is not None and not self.stopped

    @property
    def target_values(self) -> Values:
        """Its pins, or its LED, as values of a parse."""
        if self.is_on_led:
            return {"thing": "led"}
        return dict(zip(PIN_SLOTS, self.pins, strict=False))

    @property
    def named(self) -> str:
        """It in the person's words."""
        return f'"{self.said.strip().rstrip(".!?")}"'

    @property
    def told(self) -> str:
        """The act as a sentence without its full stop: "Pin 10 was set high"."""
        target = capital(self.target)
        were = "were" if len(self.pins) > 1 else "was"
        level = self.parse.number("level")
        if self.stopped:
            return f"The program {self.app} was stopped"
        if self.schedule is not None:
            return f"Schedule {self.schedule} was made"
        if self.app is not None:
            where = f" on {self.target}" if self.pins else ""
            return f"The program {self.app} was {'replaced' if self.replaced else 'started'}{where}"
        if self.kind == "set_pin" and level is not None and all(n[:6] != "level_" for n in self.parse.values):
            if self.is_on_led:
                return f"The LED was turned {'on' if level else 'off'}"
            return f"{target} {were} set {'high' if level else 'low'}"
        if self.kind == "dim_pin" and (milli := self.parse.number("milli")) is not None:
            return f"{target} was set to {milli / 1000:g}%"
        return f"I did {self.named}"

    @property
    def target(self) -> str:
        """Its pins in words that a template reads; "it" where there are none."""
        if self.is_on_led:
            return "the led"
        if len(self.pins) > 1:
            return f"pins {', '.join(map(str, self.pins[:-1]))} and {self.pins[-1]}"
        return f"pin {self.pins[0]}" if self.pins else "it"


class DialogueState(Struct, frozen=True):
    """The open question, the last act, and those that the change log lacks, the newest last. `suggested` are sentences
    of which one may be chosen by its number.
    """

    question: Question | None = None
    act: LastAct | None = None
    unlogged: UnloggedActs = ()
    suggested: tuple[str, ...] = ()

    def to_json(self) -> str | None:
        """None where there is nothing to keep."""
        return None if self == DialogueState() else msgspec.json.encode(self).decode()


def state_after(message: Message | None) -> DialogueState:
    """The state that an answer left open; nothing for any other message, or where another version wrote it."""
    if not isinstance(message, AssistantReply) or message.question is None:
        return DialogueState()
    try:
        return msgspec.json.decode(message.question, type=DialogueState)
    except msgspec.MsgspecError:
        return DialogueState()


def act_after(at: Context | None, decision: Say, before: LastAct | None) -> LastAct | None:
    """The last act after an answer. Where another thing was spoken of since, there is none: "it" could be that."""
    if at is None or at.each:
        return _of_many(at)
    kind = at.parse.kind
    deployed = _last(at.results, "deploy-wasm-app")
    done = decision.code is None or (decision.code == "not_verified" and deployed is not None)
    if not done and any(result.ok and result.tool in CHANGING_TOOLS for result in at.results):
        return None  # half of it: neither done nor not done
    if kind == "app_status" and before is not None and before.app == at.parse.word("app"):
        return _older(before)
    if (pin := _spoken_of(at.parse)) is not None:
        return LastAct(Parse("read_pin", {"pin": pin}), at.said, at.device.name if at.device else None)
    if kind == TAKE_BACK:
        return before if not at.results else None
    if kind not in PROGRAMS_ON_PINS | _OTHER_KINDS:
        return _older(before) if kind in _ASIDES else None
    if done and not at.results:
        return _older(before)
    parse = replace(at.parse, loose=at.parse.loose and not done, confirmed=False, undoes=(), stops=None, replaces=None)
    device = at.results[-1].fields.get("device") if at.results else (at.device.name if at.device else None)
    changes = tuple(c for r in at.results if r.tool != "undo" and isinstance(c := r.fields.get("change"), int))
    removed = _last(at.results, "uninstall-wasm-app") or _last(at.results, "switch-program")
    if kind == "remove_app":
        name = str(removed.fields.get("appName")) if removed is not None else None
        if name is not None and before is not None and before.app == name:
            return replace(before, stopped=True, changes=changes, age=0)
        return LastAct(parse, at.said, device, done, changes, app=name, stopped=True)
    schedule = _last(at.results, "schedule-add")
    number = schedule.fields.get("schedule") if schedule is not None else None
    return LastAct(
        parse,
        at.said,
        device,
        done,
        changes,
        app=str(deployed.fields.get("appName")) if deployed is not None else None,
        replaced=_replaced(at.parse, deployed, before),
        schedule=number if isinstance(number, int) else None,
        others=_same_before(parse, device, before) if done and not at.parse.undoes else (),
    )


def _replaced(parse: Parse, deployed: Result | None, before: LastAct | None) -> bool:
    """True if another program had the name; the one that the sentence changes is not another."""
    if parse.replaces is not None and before is not None and before.app == parse.replaces:
        return before.replaced
    return deployed is not None and bool(deployed.fields.get("replaced"))


def _of_many(at: Context | None) -> LastAct | None:
    """An act on several boards can only be reverted whole: no pin and no board of it is "it"."""
    changes = at.results[-1].fields.get("changes") if at is not None and at.results and at.results[-1].ok else None
    if at is None or not isinstance(changes, list) or not 0 < len(changes) <= MAX_TAKEN_BACK:
        return None
    return LastAct(Parse(ON_SEVERAL), at.said, changes=tuple(n for n in changes if isinstance(n, int)))


def _same_before(parse: Parse, device: object, before: LastAct | None) -> tuple[int, ...]:
    """Pins that were just given the same level."""
    if before is None or not before.done or parse.kind != "set_pin" or before.kind != "set_pin":
        return ()
    if before.device != device or parse.values.get("level") != before.parse.values.get("level"):
        return ()
    if any(name.startswith("level_") for name in {*parse.values, *before.parse.values}):
        return ()
    return tuple(dict.fromkeys((*before.others, *before.pins)))


def _spoken_of(parse: Parse) -> int | None:
    """The pin that a question or a remembered line is about."""
    if parse.kind == "remember":
        told = told_name(parse.word("text") or "")
        return told.pin if told is not None else None
    return parse.number("pin") if parse.kind in ("pin_facts", "pin_named") else None


def _older(act: LastAct | None) -> LastAct | None:
    return None if act is None or act.age >= _MAX_AGE else replace(act, age=act.age + 1)


def _last(results: tuple[Result, ...], tool: str) -> Result | None:
    return next((result for result in reversed(results) if result.tool == tool and result.ok), None)
