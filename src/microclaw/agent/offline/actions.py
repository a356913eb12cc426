"""Sentences that act at once or ask something: which tool, then the answer from its result. It calls no tool itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any, Final, Literal

from msgspec.structs import replace

from microclaw.agent.offline.board_sensors import sensor_of
from microclaw.agent.offline.boards import NO_DEVICE, PinTarget, board_of, pin_target
from microclaw.agent.offline.decision import (
    CORRECT,
    PIN_SLOTS,
    Act,
    Context,
    Decider,
    Decision,
    Say,
    ToolFields,
    ask,
    capitalize,
)
from microclaw.agent.offline.questions import next_read, pin_schedules, pin_uses
from microclaw.agent.offline.schedule_answers import list_or_cancel_schedules
from microclaw.errors import PinRefused
from microclaw.hardware.boards.pins import check_pin
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.text import count_text, format_duration

_ON: Final = ("off", "on")
_LEVELS: Final = ("low", "high")
_MAX_FACTS: Final = 11
_NO_FACT: Final = frozenset({"success", "device", "message"})
_READING_TOOLS: Final = {
    "read_pin": "gpio-get", "read_adc": "adc-read", "read_sensor": "i2c-read", "scan_i2c": "i2c-scan",
    "list_devices": "list-devices", "clock": "time", "restart_device": "restart-device",
}  # fmt: skip
_OVER: Final = frozenset({"ended", "trapped", "dead"})
"""States of a program that does nothing any more."""


def _set_pin(context: Context) -> Decision:
    """Set one pin or several in order, two of them each to its level. All are checked before the first is set."""
    number = context.parse.number
    first_level = number("level") or 0
    level = first_level
    targets = list[PinTarget]()
    levels_by_pin = dict[int, int]()
    states = list[str]()
    for slot in PIN_SLOTS:
        if slot != "pin" and number(slot) is None:
            continue
        target = pin_target(context, slot)
        if target.pin in levels_by_pin:
            raise ask("One of these pins is named twice, so I did nothing.", "name each once: turn on pins 4 and 5")
        second_level = number("level_2")
        if slot == "pin_2" and second_level is not None:
            level = second_level
        targets.append(target)
        levels_by_pin[target.pin] = level if target.active_level else 1 - level
        states.append(f"{target.words} {_ON[level]}")
    if level != first_level:
        words = " and ".join(states)
    else:
        words = f"{_ON[level]} {' and '.join(target.words for target in targets)}"
    sets = [{"pin": pin, "level": pin_level} for pin, pin_level in levels_by_pin.items()]
    call = _next_set(context, "gpio-set", sets, f"turn {words}")
    if call is not None:
        return call
    last = context.results[-1]
    if len(targets) == 1:
        return Say(f"{_pin_state(context, targets[0], levels_by_pin[targets[0].pin])}{_proof(last)}.")
    proofs = _join_proofs(context.results)
    proof = _proof(last)
    if proofs:
        proof = f" ({proofs})"
    return Say(f"Now on {last.device}: {', '.join(states)}{proof}.")


def _join_proofs(results: Sequence[ToolFields]) -> str:
    """Join the different pieces of evidence, without those that are only an acceptance."""
    texts = dict[str, None]()
    for result in results:
        kind, text = result.proof
        if kind != "accepted" and text:
            texts[text] = None
    return "; ".join(texts)


def _next_set(context: Context, tool: str, sets: Sequence[Mapping[str, int]], words: str) -> Act | None:
    """Return the next call that sets these pins, or None after the last one.

    A correction is one call, which reverts the changes before it sets the pins.
    """
    done_count = len(context.results)
    if not context.parse.undoes or done_count:
        if done_count >= len(sets):
            return None
        if done_count:
            # The user has approved the words of the first call, which stand for all of them.
            words = ""
        return Act(tool, context.on_device(**sets[done_count]), words)
    use: Literal["output", "pwm"] = "output" if tool == "gpio-set" else "pwm"
    for values in sets:
        try:
            check_pin(board_of(context), values["pin"], use)
        except PinRefused as exc:
            raise ask(f"{capitalize(exc.message)}. Nothing was changed.", exc.next_step) from exc
    return Act(CORRECT, context.on_device(undo=list(context.parse.undoes), pins=list(sets)), f"undo, then {words}")


def _toggle_pin(context: Context) -> Decision:
    """Read the pin, then set it to the opposite level."""
    target = pin_target(context)
    if not context.results:
        return Act("gpio-get", context.on_device(pin=target.pin), f"toggle {target.words}")
    level = int(context.results[0].fields["level"] != target.active_level)
    parse = replace(context.parse, values=context.parse.values | {"level": level})
    return _set_pin(replace(context, parse=parse, results=context.results[1:]))


def _dim_pin(context: Context) -> Decision:
    target = pin_target(context)
    milli = context.parse.number("milli")
    example = f"dim {target.words} to 30%"
    if milli is None:
        raise ask("How bright?", example, "milli")
    percent = f"{milli / 1000:g}%"
    if not 0 <= milli <= 100_000:
        raise ask(f"{percent} is not between 0 and 100. How bright?", example, "milli")
    if 0 < milli < 100_000 and round(milli * 255 / 100_000) in (0, 255):
        raise ask(f"PWM has 255 steps, and {percent} is none of them. How bright?", "0.4% to 99.6%", "milli")
    high_milli = milli
    if not target.active_level:
        high_milli = 100_000 - milli
    duty = round(Fraction(255 * high_milli, 100_000))
    sets = [{"pin": target.pin, "duty": duty}]
    call = _next_set(context, "pwm-set", sets, f"dim {target.words} to {percent}")
    if call is not None:
        return call
    last = context.results[-1]
    return Say(f"Pin {target.pin} of {last.device} is at {percent} (duty {duty}/255){_proof(last)}.")


def _look(context: Context) -> Decision:
    """Call the tool that reads, or that restarts the board, then answer from its result."""
    kind = context.parse.kind
    arguments = dict[str, Any]()
    words = ""
    if kind == "restart_device":
        words = "restart the board"
    if kind not in ("list_devices", "clock"):
        # Raises CannotDo, with the question which device, if there are several.
        board_of(context)
    if kind in ("read_pin", "read_adc"):
        arguments["pin"] = pin_target(context).pin
    elif kind == "read_sensor":
        arguments["sensor"] = sensor_of(context).part.name
    if not context.results:
        return Act(_READING_TOOLS[kind], context.on_device(**arguments), words)
    return _LOOK_ANSWERS[kind](context, context.results[-1])


def _answer_scan(_: Context, result: ToolFields) -> Say:
    addresses = []
    for row in result.fields.get("addresses", []):
        address = row["address"]
        if row.get("sensor"):
            address = f"{address} ({row['sensor']})"
        addresses.append(address)
    return Say(f"On the I2C bus of {result.device}: {', '.join(addresses) or 'no device answers'}.")


def _answer_sensor(context: Context, result: ToolFields) -> Say:
    sensor = sensor_of(context)
    quantity = sensor.quantity
    value = result.fields.get("values", {}).get(quantity.reading)
    if value is None:
        return Say(f"The {sensor.title} of {result.device} reports no {sensor.spoken_name}.", "tool_failed")
    reading = f"{float(value):.{quantity.decimals}f} {quantity.unit}".replace(" %", "%")
    return Say(f"{sensor.spoken_name.capitalize()}: {reading}, read from the {sensor.title} of {result.device}.")


def _answer_pin(context: Context, result: ToolFields) -> Say:
    level = int(result.fields["level"])
    return Say(f"{_pin_state(context, pin_target(context), level, _LEVELS)}.")


def _answer_adc(context: Context, result: ToolFields) -> Say:
    volts = f"{float(result.fields['volts']):.3f} V (raw {result.fields['raw']})"
    return Say(f"ADC pin {pin_target(context).pin} of {result.device} is at {volts}.")


def _answer_restart(_: Context, result: ToolFields) -> Say:
    return Say(f"{result.device} restarted{_proof(result)}.")


def _answer_clock(_: Context, result: ToolFields) -> Say:
    fields = result.fields
    now = datetime.fromisoformat(str(fields.get("now")))
    return Say(f"It is {now:%H:%M} on {fields.get('weekday')}, {now:%Y-%m-%d} ({fields.get('zone')}).")


def _answer_devices(_: Context, result: ToolFields) -> Say:
    devices = result.fields.get("devices", [])
    if not devices:
        return replace(NO_DEVICE, code=None)
    texts = []
    for device in devices:
        transports = ", ".join(device["transports"]) or "no transport"
        texts.append(f"{device['name']} ({device['board']}; {transports})")
    return Say(f"{count_text(len(devices), 'device')}: {'; '.join(texts)}.")


_LOOK_ANSWERS: Final[Mapping[str, Callable[[Context, ToolFields], Say]]] = {
    "read_pin": _answer_pin,
    "read_adc": _answer_adc,
    "read_sensor": _answer_sensor,
    "scan_i2c": _answer_scan,
    "list_devices": _answer_devices,
    "clock": _answer_clock,
    "restart_device": _answer_restart,
}


def _device_fact(context: Context) -> Decision:
    """Read the facts of one tool; if it does not have the fact of the sentence, ask the other tool."""
    tools = ["device-info", "device-status"]
    if context.parse.kind != "device_info":
        tools.reverse()
    names = (context.parse.word("fields") or "").split()
    if not context.results:
        if context.device is None:
            # Raises CannotDo, with the question which device, if there are several.
            board_of(context)
        return Act(tools[0], context.on_device())
    result = context.results[-1]
    if not names:
        return _list_facts(result)
    facts: Mapping[str, Any] = result.fields.get("facts") or {}
    uptime_s = _uptime_s(names, facts)
    if uptime_s is not None:
        return Say(f"{result.device} has been running for {format_duration(uptime_s * 1000)}.")
    values = ", ".join(f"{name} {facts[name]}" for name in names if name in facts)
    if values:
        return Say(f"{result.device} reports {values}.")
    if len(context.results) == 1:
        return Act(tools[1], context.on_device())
    return Say(f"{result.device} reports no {names[0]}.", next_step="device info")


def _uptime_s(names: Sequence[str], facts: Mapping[str, Any]) -> float | None:
    """Return since how many seconds a board runs, if that was the question and it reports it."""
    if "uptime_s" in names and "uptime_s" in facts:
        return float(facts["uptime_s"])
    if "uptime_ms" in names and "uptime_ms" in facts:
        return float(facts["uptime_ms"]) / 1000
    return None


def _list_facts(result: ToolFields) -> Say:
    """List the plain fields of the result, then its facts, up to _MAX_FACTS of both."""
    facts = dict[str, Any]()
    for name, value in result.fields.items():
        if not isinstance(value, dict | list):
            facts[name] = value
    facts |= result.fields.get("facts") or {}
    texts = [f"{name} {value}" for name, value in facts.items() if name not in _NO_FACT]
    return Say(f"{result.device}: {', '.join(texts[:_MAX_FACTS])}.")


def _undo(context: Context) -> Decision:
    """Undo the last change, or the changes that the parse names."""
    undos = [result for result in context.results if result.tool == "undo"]
    if not undos:
        undoes = list(context.parse.undoes)
        if undoes:
            return Act(CORRECT, {"undo": undoes}, "undo")
        return Act("undo", context.on_device(), "undo")
    messages = "; ".join(str(result.fields.get("message", "undone")) for result in undos)
    proofs = list[str]()
    for result in undos:
        for item in result.fields.get("evidence", ()):
            if item["kind"] != "accepted" and item["text"] not in proofs:
                proofs.append(item["text"])
    evidence = "; ".join(proofs)
    if not evidence:
        return Say(f"{capitalize(messages)}.")
    return Say(f"{capitalize(messages)}. {capitalize(evidence)}.")


def _pin_facts(context: Context) -> Decision:
    """Answer what a pin is for and who uses it, which pins are free, or which pin the LED is on."""
    board = board_of(context)
    pin = context.parse.number("pin")
    if pin is None and context.parse.word("thing") is not None:
        return Say(f"The LED of {board.title} is on pin {pin_target(context).pin}.")
    profile = None
    if pin is not None:
        profile = board.pins[pin_target(context).pin]
        if profile.reserved:
            return Say(f"Pin {pin} is reserved: it belongs to {profile.reserved}.")
    call = next_read(context, "query-wasm-apps", "list-changes", "schedule-list")
    if call is not None:
        return call
    users = pin_uses(context) | _pin_users(context)
    for number, text in pin_schedules(context).items():
        users[number] = f"{users[number]}, and {text}" if number in users else text
    if profile is None:
        return _list_free_pins(board, users)
    wired = ""
    if board.led is not None and board.led.pin == pin:
        wired = " The board's LED is on it."
    caution = ""
    if profile.caution:
        caution = f" Careful: {profile.caution}."
    state = users.get(profile.number, "free")
    return Say(f"Pin {pin} is {state}; it can be {', '.join(sorted(profile.uses))}.{wired}{caution}")


def _list_free_pins(board: BoardProfile, users: Mapping[int, str]) -> Say:
    """List the free pins that need no care, then the pins in use."""
    free_pins = list[int]()
    if board.led is not None:
        users = {board.led.pin: "the LED of the board"} | dict(users)
    for pin in board.pins.values():
        is_usable = not pin.reserved and not pin.caution
        if is_usable and pin.number not in users:
            free_pins.append(pin.number)
    text = f"Free on {board.title}: {', '.join(map(str, sorted(free_pins)))}."
    for number, user in sorted(users.items()):
        text += f" Pin {number} is {user}."
    return Say(text)


def _pin_users(context: Context) -> dict[int, str]:
    """Return what uses each pin: the parts that are wired there, this host's claims, other hosts' running programs."""
    rows = {str(row.get("name")): row for row in context.results[0].fields.get("apps", ())}
    users = _wired_pins(context)
    for name, row in rows.items():
        if row.get("foreign") and row.get("state") == "running":
            users |= dict.fromkeys(row.get("pins") or (), f"used by {name}")
    if context.device is None:
        return users
    for app in context.device.apps:
        is_over = rows.get(app.name, {}).get("state") in _OVER
        for pin in (*app.uses, *app.reads, *app.pins):
            if is_over:
                users[pin] = f"held by {app.name}, which has ended, until: stop {app.name}"
            else:
                users[pin] = f"{app.role_of(pin)} by {app.name}"
    return users


def _wired_pins(context: Context) -> dict[int, str]:
    """Return the pins at which parts are wired, each with the name of its part."""
    pins: dict[int, str] = {}
    if context.device is not None:
        for part in context.device.wiring.parts:
            pins |= dict.fromkeys(part.pins.values(), f"wired to {part.label or part.id}")
    return pins


ACTIONS: Final[Mapping[str, Decider]] = {
    "set_pin": _set_pin,
    "toggle_pin": _toggle_pin,
    "dim_pin": _dim_pin,
    **dict.fromkeys(_READING_TOOLS, _look),
    **dict.fromkeys(("device_info", "device_status"), _device_fact),
    "undo": _undo,
    "pin_facts": _pin_facts,
    **dict.fromkeys(("list_schedules", "cancel_schedule"), list_or_cancel_schedules),
}


def _pin_state(context: Context, target: PinTarget, level: int, words: Sequence[str] = _ON) -> str:
    """Return the level of a pin in `words`, or whether the LED or a part is on if low turns it on."""
    device = context.results[-1].device
    if target.is_led and not target.active_level:
        return f"The LED of {device} is {_ON[1 - level]}: its pin {target.pin} is {_LEVELS[level]}"
    if target.part is not None:
        state = f"its pin {target.pin} is {_LEVELS[level]}, and low turns it on"
        return f"The {target.part} of {device} is {_ON[1 - level]}: {state}"
    led = board_of(context).led
    if led is not None and led.pin == target.pin and not led.active_level:
        lit = f"the LED there is lit by low, so it is {_ON[1 - level]}"
        return f"Pin {target.pin} of {device} is {_LEVELS[level]} ({lit})"
    return f"Pin {target.pin} of {device} is {words[level]}"


def _proof(result: ToolFields) -> str:
    """Return the evidence in brackets, the program that was stopped, and the warning about the pin."""
    kind, text = result.proof
    careful = ""
    warning = result.fields.get("warning")
    if warning:
        careful = f". Careful: {warning}"
    if kind == "accepted":
        return f", as far as the board accepted it: it offers no read-back{careful}"
    proof = f" ({text})" if text else ""
    stopped = ""
    if result.fields.get("stopped"):
        stopped = f", and {result.fields['stopped']} is stopped"
    return f"{proof}{stopped}{careful}"
