"""Sentences that act at once or ask something: which tool, then the answer from its result. Calls no tool itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

from microclaw.offline.decision import CORRECT, PIN_SLOTS, Act, Context, Decision, Result, Say, ask, capital
from microclaw.offline.pins import NO_DEVICE, PinTarget, board_of, pin_target, sensor_of
from microclaw.offline.sentences import english

_MAX_FACTS: Final = 11
_NO_FACT: Final = frozenset({"success", "device", "message"})
_OVER: Final = frozenset({"ended", "trapped", "dead"})  # states of a program that does nothing any more


def _set_pin(at: Context) -> Decision:
    """Set one pin or several in order, two of them each to its level. All are checked before the first is set."""
    slots = [slot for slot in PIN_SLOTS if at.parse.number(slot) is not None] or ["pin"]
    targets = [pin_target(at, slot) for slot in slots]
    if len({target.pin for target in targets}) < len(targets):
        raise ask("One of these pins is named twice, so I did nothing.", "name each once, as in: turn on pins 4 and 5")
    wanted = [at.parse.number("level") or 0] * len(targets)
    if (second := at.parse.number("level_2")) is not None:
        wanted[1] = second
    levels = [one if target.active_level else 1 - one for target, one in zip(targets, wanted, strict=True)]
    each = [f"{target.words} {_on(one)}" for target, one in zip(targets, wanted, strict=True)]
    done = len(at.results)
    if done < len(targets):
        pins = " and ".join(target.words for target in targets)
        words = f"turn {_on(wanted[0])} {pins}" if len(set(wanted)) == 1 else f"turn {' and '.join(each)}"
        return Act("gpio-set", at.on_device(pin=targets[done].pin, level=levels[done]), "" if done else words)
    if len(targets) == 1:
        return Say(f"{_state(at, targets[0], levels[0])}{_proof(at.results[-1])}.")
    proofs = "; ".join(dict.fromkeys(f.proof[1] for f in at.results if f.proof[0] != "accepted" and f.proof[1]))
    proof = f" ({proofs})" if proofs else _proof(at.results[-1])
    return Say(f"Now on {at.results[-1].device}: {', '.join(each)}{proof}.")


def _toggle_pin(at: Context) -> Decision:
    target = pin_target(at)
    if not at.results:
        return Act("gpio-get", at.on_device(pin=target.pin), f"toggle {target.words}")
    last = at.results[-1]
    if last.tool == "gpio-get":
        level = 1 - int(last.fields["level"])
        return Act("gpio-set", at.on_device(pin=target.pin, level=level), f"toggle {target.words}")
    return Say(f"{_state(at, target, int(last.fields['level']))} now{_proof(last)}.")


def _dim_pin(at: Context) -> Decision:
    target = pin_target(at)
    duty, percent = _duty_of(at, target), (at.parse.number("milli") or 0) / 1000
    if at.results:
        return Say(
            f"Pin {target.pin} of {at.results[-1].device} is at {percent:g}% (duty {duty}/255){_proof(at.results[-1])}."
        )
    return Act("pwm-set", at.on_device(pin=target.pin, duty=duty), f"dim {target.words} to {percent:g}%")


def _duty_of(at: Context, target: PinTarget) -> int:
    """The duty, of 255, of the sentence's brightness; asks for one, or where the nearest is fully off or on."""
    milli, example = at.parse.number("milli"), f"dim {target.words} to 30%"
    if milli is None:
        raise ask("How bright?", example, "milli")
    if not 0 <= milli <= 100_000:
        raise ask(f"{milli / 1000:g}% is not between 0 and 100. How bright?", example, "milli")
    if 0 < milli < 100_000 and round(milli * 255 / 100_000) in (0, 255):
        raise ask(f"PWM has 255 steps, and {milli / 1000:g}% is none of them. How bright?", "0.4% to 99.6%", "milli")
    return round(Fraction(255 * (milli if target.active_level else 100_000 - milli), 100_000))


def _level(at: Context, found: Result) -> Say:
    return Say(f"{_state(at, pin_target(at), int(found.fields['level']))}.")


def _volts(at: Context, found: Result) -> Say:
    volts, raw = float(found.fields["volts"]), found.fields["raw"]
    return Say(f"ADC pin {pin_target(at).pin} of {found.device} is at {volts:.3f} V (raw {raw}).")


def _measured(at: Context, found: Result) -> Say:
    name, quantity, _ = sensor_of(at)
    values = found.fields.get("values", {})
    if quantity.field not in values:
        return Say(f"The {quantity.sensor.upper()} of {found.device} reports no {name}.", "tool_failed")
    value = f"{float(values[quantity.field]):.{quantity.decimals}f} {quantity.shown_unit}".replace(" %", "%")
    return Say(f"{name.capitalize()}: {value}, read from the {quantity.sensor.upper()} of {found.device}.")


def _addresses(_: Context, found: Result) -> Say:
    addresses = found.fields.get("addresses", [])
    shown = ", ".join(a["address"] + (f" ({a['sensor']})" if a.get("sensor") else "") for a in addresses)
    return Say(f"On the I2C bus of {found.device}: {shown or 'no device answers'}.")


def _devices(_: Context, found: Result) -> Say:
    known = found.fields.get("devices", [])
    if not known:
        return Say(NO_DEVICE.text, next_step=NO_DEVICE.next_step)
    shown = "; ".join(f"{d['name']} ({d['board']}; {', '.join(d['transports']) or 'no transport'})" for d in known)
    return Say(f"{len(known)} {'device' if len(known) == 1 else 'devices'}: {shown}.")


def _clock(_: Context, found: Result) -> Say:
    now = datetime.fromisoformat(str(found.fields.get("now")))
    return Say(f"It is {now:%H:%M} on {found.fields.get('weekday')}, {now:%Y-%m-%d} ({found.fields.get('zone')}).")


def _restarted(_: Context, found: Result) -> Say:
    return Say(f"{found.device} restarted{_proof(found)}.")


def _one_call(
    tool: str, told: Callable[[Context, Result], Say], needs: str = "", words: str = ""
) -> Callable[[Context], Decision]:
    """One call, then its answer. `needs`: what its sentence must name, or is asked for: a board, pin or sensor."""

    def decide(at: Context) -> Decision:
        if at.results:
            return told(at, at.results[-1])
        match needs:
            case "board":
                board_of(at)
            case "pin":
                return Act(tool, at.on_device(pin=pin_target(at).pin))
            case "sensor":
                return Act(tool, at.on_device(sensor=sensor_of(at)[1].sensor))
        return Act(tool, at.on_device(), words)

    return decide


def _device_fact(at: Context) -> Decision:
    """Read one tool's facts of the device; a single fact that it lacks is looked for with the other."""
    tools, field = ["device-info", "device-status"], at.parse.word("field")
    if at.parse.kind == "device_status":
        tools.reverse()
    if not at.results and at.device is None:
        board_of(at)  # asks which device
    if not at.results:
        return Act(tools[0], at.on_device())
    found = at.results[-1]
    facts: Mapping[str, Any] = found.fields.get("facts") or {}
    if field is None:
        plain = {key: value for key, value in found.fields.items() if not isinstance(value, dict | list)}
        shown = [f"{key} {value}" for key, value in (plain | dict(facts)).items() if key not in _NO_FACT]
        return Say(f"{found.device}: {', '.join(shown[:_MAX_FACTS])}.")
    told = ", ".join(f"{key} {facts[key]}" for key in _FACTS[field] if key in facts)
    if not told and len(at.results) == 1:
        return Act(tools[1], at.on_device())
    return Say(f"{found.device} reports {told or f'no {field}'}.", next_step=None if told else "device info")


def _undo(at: Context) -> Decision:
    """Undo the last change, or what the parse names, after a yes to the question that it asks."""
    question, number = at.parse.word("asks"), at.parse.number("number")
    if question is not None and not at.parse.confirmed:
        return Say(question, "confirm", "yes, undo it", "confirmed")
    undone = [one for one in at.results if one.tool in ("undo", "schedule-remove")]
    if not undone:
        if number is not None:
            return Act("schedule-remove", {"schedule": number}, "undo")
        if at.parse.undoes:
            return Act(CORRECT, {"undo": list(at.parse.undoes)}, "undo")
        return Act("undo", at.on_device(), "undo")
    if number is not None:
        return Say(f"Undone: schedule {number} is removed.")
    told = "; ".join(str(one.fields.get("message", "undone")) for one in undone)
    proofs = (item["text"] for one in undone for item in one.fields.get("evidence", ()) if item["kind"] != "accepted")
    known = "; ".join(dict.fromkeys(proofs))
    return Say(f"{capital(told)}.{f' {capital(known)}.' if known else ''}")


def _pin_facts(at: Context) -> Decision:
    board, pin = board_of(at), at.parse.number("pin")
    if pin is None and at.parse.word("thing") is not None:
        return Say(f"The LED of {board.title} is on pin {pin_target(at).pin}.")
    known = None if pin is None else board.pins[pin_target(at).pin]
    if known is not None and known.reserved:
        return Say(f"Pin {pin} is reserved: it belongs to {known.reserved}.")
    if not at.results:
        return Act("query-wasm-apps", at.on_device())
    users = _pin_users(at)
    if known is None:
        free = [p.number for p in board.pins.values() if not (p.reserved or p.caution) and p.number not in users]
        busy = "".join(f" Pin {pin} is {user}." for pin, user in sorted(users.items()))
        return Say(f"Free on {board.title}: {', '.join(map(str, sorted(free)))}.{busy}")
    wired = " The board's LED is on it." if board.led and board.led.pin == pin else ""
    caution = f" Careful: {known.caution}." if known.caution else ""
    used = users.get(known.number, "free")
    return Say(f"Pin {pin} is {used}; it can be {', '.join(sorted(known.uses))}.{wired}{caution}")


def _pin_users(at: Context) -> dict[int, str]:
    """The pins with what uses each: by this host's claims, and by what the board lists of others' running programs."""
    listed = {str(one.get("name")): one for one in at.results[-1].fields.get("apps", ())}
    users: dict[int, str] = {}
    for name, one in listed.items():
        if one.get("foreign") and one.get("state") == "running":
            users |= dict.fromkeys(one.get("pins") or (), f"used by {name}")
    for app in at.device.apps if at.device else ():
        held = f"held by {app.name}, which has ended, until: stop {app.name}"
        is_over = listed.get(app.name, {}).get("state") in _OVER
        for pin in (*app.uses, *app.reads, *app.pins):
            users[pin] = held if is_over else f"{app.role_of(pin)} by {app.name}"
    return users


_FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "firmware": ("firmware_version", "version", "firmware"),
    "uptime": ("uptime_s", "uptime_ms"),
    "heap": ("free_heap_kb", "free_heap"),
    "wifi": ("wifi", "wifi_connected", "ssid", "rssi", "ip"),
    "cpu_temp": ("cpu_temp_c",),
}
"""The facts that can be asked for, and the fields that hold each, by protocol dialect."""


def _answer(at: Context) -> Say:
    """The answer that stands with the templates, of what is understood and not done."""
    return english().answers[at.parse.word("reason") or at.parse.kind]


ACTIONS: Final[Mapping[str, Callable[[Context], Decision]]] = {
    "set_pin": _set_pin,
    "toggle_pin": _toggle_pin,
    "dim_pin": _dim_pin,
    "read_pin": _one_call("gpio-get", _level, "pin"),
    "read_adc": _one_call("adc-read", _volts, "pin"),
    "read_sensor": _one_call("i2c-read", _measured, "sensor"),
    "scan_i2c": _one_call("i2c-scan", _addresses, "board"),
    "list_devices": _one_call("list-devices", _devices),
    "clock": _one_call("time", _clock),
    "restart_device": _one_call("restart-device", _restarted, "board", "restart the board"),
    "device_info": _device_fact,
    "device_status": _device_fact,
    "undo": _undo,
    "pin_facts": _pin_facts,
    **dict.fromkeys(("greeting", "later", "no_clock", "publish", "all_pins", "unsafe"), _answer),
}


def _on(level: int) -> str:
    return "on" if level else "off"


def _state(at: Context, target: PinTarget, level: int) -> str:
    """A pin's level in words; of an LED lit by low, whether the LED is on."""
    device = at.results[-1].device
    low = "low" if level == 0 else "high"
    if target.is_led and not target.active_level:
        return f"The LED of {device} is {_on(1 - level)}: its pin {target.pin} is {low}"
    led = board_of(at).led
    said = f"Pin {target.pin} of {device} is {_on(level)}"
    if led is not None and led.pin == target.pin and not led.active_level:
        return f"{said} ({low}; the LED there is lit by low, so it is {_on(1 - level)})"
    return said


def _proof(found: Result) -> str:
    """The evidence in brackets; an action that was only accepted is named so."""
    kind, text = found.proof
    if kind == "accepted":
        return ", as far as the board accepted it: it offers no read-back"
    stopped = f", and {found.fields['stopped']} is stopped" if found.fields.get("stopped") else ""
    return f" ({text}){stopped}" if text else stopped
