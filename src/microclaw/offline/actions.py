"""Sentences that act at once or ask something: which tool, then the answer from its result. Calls no tool itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

from msgspec.structs import replace

from microclaw.boards.pins import check_pin
from microclaw.errors import PinRefused
from microclaw.offline.boards import NO_DEVICE, PinTarget, board_of, pin_target, sensor_of
from microclaw.offline.decision import CORRECT, PIN_SLOTS, Act, Context, Decider, Decision, Result, Say, ask, capital
from microclaw.text import count_text

_ON: Final = ("off", "on")
_LEVELS: Final = ("low", "high")
_MAX_FACTS: Final = 11
_NO_FACT: Final = frozenset({"success", "device", "message"})
_LOOKS: Final = {
    "read_pin": "gpio-get", "read_adc": "adc-read", "read_sensor": "i2c-read", "scan_i2c": "i2c-scan",
    "list_devices": "list-devices", "clock": "time", "restart_device": "restart-device",
}  # fmt: skip
_OVER: Final = frozenset({"ended", "trapped", "dead"})  # states of a program that does nothing any more


def _set_pin(at: Context) -> Decision:
    """Set one pin or several in order, two of them each to its level. All are checked before the first is set."""
    number = at.parse.number
    pins = list[str]()
    each = list[str]()
    sets = dict[int, int]()
    first = level = number("level") or 0
    for slot in PIN_SLOTS:
        if slot != "pin" and number(slot) is None:
            continue
        target = pin_target(at, slot)
        if target.pin in sets:
            raise ask("One of these pins is named twice, so I did nothing.", "name each once: turn on pins 4 and 5")
        if slot == "pin_2" and (second := number("level_2")) is not None:
            level = second
        sets[target.pin] = level if target.active_level else 1 - level
        pins.append(target.words)
        each.append(f"{target.words} {_ON[level]}")
    if level != first:
        words = " and ".join(each)
    else:
        words = f"{_ON[level]} {' and '.join(pins)}"
    calls = [{"pin": pin, "level": level} for pin, level in sets.items()]
    call = _next_set(at, "gpio-set", calls, f"turn {words}")
    if call is not None:
        return call
    if len(pins) == 1:
        return Say(f"{_state(at, target, sets[target.pin])}{_proof(at.results[-1])}.")
    proofs = "; ".join(dict.fromkeys(f.proof[1] for f in at.results if f.proof[0] != "accepted" and f.proof[1]))
    if proofs:
        proof = f" ({proofs})"
    else:
        proof = _proof(at.results[-1])
    return Say(f"Now on {at.results[-1].device}: {', '.join(each)}{proof}.")


def _next_set(at: Context, tool: str, sets: Sequence[Mapping[str, int]], words: str) -> Act | None:
    """The next call that sets these pins, None after the last. A correction is one, with what it reverts before."""
    done = len(at.results)
    if not at.parse.undoes or done:
        if done < len(sets):
            return Act(tool, at.on_device(**sets[done]), "" if done else words)
        return None
    for one in sets:
        try:
            check_pin(board_of(at), one["pin"], "output" if tool == "gpio-set" else "pwm")
        except PinRefused as exc:
            raise ask(f"{capital(exc.message)}. Nothing was changed.", exc.next_step) from exc
    return Act(CORRECT, at.on_device(undo=list(at.parse.undoes), pins=list(sets)), f"undo, then {words}")


def _toggle_pin(at: Context) -> Decision:
    """Set the pin to the other level than it has."""
    target = pin_target(at)
    if not at.results:
        return Act("gpio-get", at.on_device(pin=target.pin), f"toggle {target.words}")
    level = int(at.results[0].fields["level"] != target.active_level)
    parse = replace(at.parse, values=at.parse.values | {"level": level})
    return _set_pin(replace(at, parse=parse, results=at.results[1:]))


def _dim_pin(at: Context) -> Decision:
    target = pin_target(at)
    milli = at.parse.number("milli")
    example = f"dim {target.words} to 30%"
    if milli is None:
        raise ask("How bright?", example, "milli")
    percent = f"{milli / 1000:g}%"
    if not 0 <= milli <= 100_000:
        raise ask(f"{percent} is not between 0 and 100. How bright?", example, "milli")
    if 0 < milli < 100_000 and round(milli * 255 / 100_000) in (0, 255):
        raise ask(f"PWM has 255 steps, and {percent} is none of them. How bright?", "0.4% to 99.6%", "milli")
    duty = round(Fraction(255 * (milli if target.active_level else 100_000 - milli), 100_000))
    sets = [{"pin": target.pin, "duty": duty}]
    call = _next_set(at, "pwm-set", sets, f"dim {target.words} to {percent}")
    if call is not None:
        return call
    last = at.results[-1]
    return Say(f"Pin {target.pin} of {last.device} is at {percent} (duty {duty}/255){_proof(last)}.")


def _look(at: Context) -> Decision:
    """One call that looks, or restarts the board, then its answer."""
    kind = at.parse.kind
    arguments = dict[str, Any]()
    if kind not in ("list_devices", "clock"):
        board_of(at)  # asks which device
    if kind in ("read_pin", "read_adc"):
        target = pin_target(at)
        arguments["pin"] = target.pin
    elif kind == "read_sensor":
        name, quantity, _ = sensor_of(at)
        arguments["sensor"] = quantity.sensor
    if not at.results:
        return Act(_LOOKS[kind], at.on_device(**arguments), "restart the board" if kind == "restart_device" else "")
    found = at.results[-1]
    fields = at.results[-1].fields
    match kind:
        case "scan_i2c":
            each = [
                a["address"] + (f" ({a['sensor']})" if a.get("sensor") else "") for a in fields.get("addresses", [])
            ]
            return Say(f"On the I2C bus of {found.device}: {', '.join(each) or 'no device answers'}.")
        case "read_sensor":
            sensor = quantity.sensor.upper()
            value = fields.get("values", {}).get(quantity.field)
            if value is None:
                return Say(f"The {sensor} of {found.device} reports no {name}.", "tool_failed")
            shown = f"{float(value):.{quantity.decimals}f} {quantity.shown_unit}".replace(" %", "%")
            return Say(f"{name.capitalize()}: {shown}, read from the {sensor} of {found.device}.")
        case "read_pin":
            return Say(f"{_state(at, target, int(fields['level']), _LEVELS)}.")
        case "read_adc":
            volts = f"{float(fields['volts']):.3f} V (raw {fields['raw']})"
            return Say(f"ADC pin {target.pin} of {found.device} is at {volts}.")
        case "restart_device":
            return Say(f"{found.device} restarted{_proof(found)}.")
        case "clock":
            now = datetime.fromisoformat(str(fields.get("now")))
            return Say(f"It is {now:%H:%M} on {fields.get('weekday')}, {now:%Y-%m-%d} ({fields.get('zone')}).")
    known = fields.get("devices", [])
    devices = (f"{d['name']} ({d['board']}; {', '.join(d['transports']) or 'no transport'})" for d in known)
    shown = f"{count_text(len(known), 'device')}: {'; '.join(devices)}."
    if known:
        return Say(shown)
    return replace(NO_DEVICE, code=None)


def _device_fact(at: Context) -> Decision:
    """Read one tool's facts of the device; a single fact that it lacks is looked for with the other."""
    tools = ["device-info", "device-status"][:: 1 if at.parse.kind == "device_info" else -1]
    wanted = (at.parse.word("fields") or "").split()
    if not at.results:
        if at.device is None:
            board_of(at)  # asks which device
        return Act(tools[0], at.on_device())
    found = at.results[-1]
    facts: Mapping[str, Any] = found.fields.get("facts") or {}
    if not wanted:
        plain = {key: value for key, value in found.fields.items() if not isinstance(value, dict | list)}
        shown = [f"{key} {value}" for key, value in (plain | dict(facts)).items() if key not in _NO_FACT]
        return Say(f"{found.device}: {', '.join(shown[:_MAX_FACTS])}.")
    told = ", ".join(f"{key} {facts[key]}" for key in wanted if key in facts)
    if not told and len(at.results) == 1:
        return Act(tools[1], at.on_device())
    return Say(f"{found.device} reports {told or f'no {wanted[0]}'}.", next_step=None if told else "device info")


def _undo(at: Context) -> Decision:
    """Undo the last change, or those that the parse names."""
    undone = [one for one in at.results if one.tool == "undo"]
    if not undone:
        undoes = list(at.parse.undoes)
        if undoes:
            return Act(CORRECT, {"undo": undoes}, "undo")
        return Act("undo", at.on_device(), "undo")
    told = "; ".join(str(one.fields.get("message", "undone")) for one in undone)
    proofs = (item["text"] for one in undone for item in one.fields.get("evidence", ()) if item["kind"] != "accepted")
    known = "; ".join(dict.fromkeys(proofs))
    return Say(f"{capital(told)}.{f' {capital(known)}.' if known else ''}")


def _pin_facts(at: Context) -> Decision:
    board = board_of(at)
    pin = at.parse.number("pin")
    if pin is None and at.parse.word("thing") is not None:
        return Say(f"The LED of {board.title} is on pin {pin_target(at).pin}.")
    if pin is None:
        known = None
    else:
        known = board.pins[pin_target(at).pin]
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
    if known.caution:
        caution = f" Careful: {known.caution}."
    else:
        caution = ""
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


def _of_schedules(at: Context) -> Decision:
    """List those that are not over, or cancel one or all of them."""
    if not at.results:
        return Act("schedule-list", {})
    listed = [one for one in at.results[0].fields.get("schedules", ()) if one.get("state") != "over"]
    if at.parse.kind == "list_schedules" and listed:
        return Say("\n".join((f"{len(listed)} scheduled:", *(f"  {_line(one)}" for one in listed))))
    if at.parse.kind == "list_schedules":
        return Say("Nothing is scheduled.", next_step="as in: every weekday at 7 turn on pin 4")
    number = at.parse.number("number")
    meant = [one for one in listed if number in (None, one["schedule"])]
    removed = [found.fields.get("removed") for found in at.results if found.tool == "schedule-remove"]
    if removed and not (at.parse.confirmed and len(removed) < len(meant)):
        goes_on = " What had begun goes on." if any(found.fields.get("under_way") for found in at.results) else ""
        return Say(f"Cancelled: {'; '.join(_line(one) for one in meant if one['schedule'] in removed)}.{goes_on}")
    if not meant:
        if listed:
            there = f"There is: {'; '.join(map(_line, listed))}"
        else:
            there = "Nothing is scheduled"
        if listed:
            step = f"cancel schedule {listed[0]['schedule']}"
        else:
            step = "undo reverts the last change of a board"
        return Say(f"{there}, so nothing was cancelled.", "unknown_name", step)
    shown = "; ".join(map(_line, meant))
    if not at.parse.values.get("all") and (number is None or at.parse.when):
        return Say(f"Which one is to go now: {shown}?", "ambiguous", f"cancel schedule {meant[0]['schedule']}")
    if number is None and not at.parse.confirmed:
        numbers = ", ".join(str(one["schedule"]) for one in meant)
        return Say(f"That cancels now {shown}. Say yes to do it.", "confirm", f"yes, cancel {numbers}", "confirmed")
    number = meant[len(removed)]["schedule"]
    return Act("schedule-remove", {"schedule": number}, f"cancel schedule {number}")


ACTIONS: Final[Mapping[str, Decider]] = {
    "set_pin": _set_pin,
    "toggle_pin": _toggle_pin,
    "dim_pin": _dim_pin,
    **dict.fromkeys(_LOOKS, _look),
    **dict.fromkeys(("device_info", "device_status"), _device_fact),
    "undo": _undo,
    "pin_facts": _pin_facts,
    **dict.fromkeys(("list_schedules", "cancel_schedule"), _of_schedules),
}


def _state(at: Context, target: PinTarget, level: int, words: Sequence[str] = _ON) -> str:
    """A pin's level in `words`; of an LED lit by low, whether the LED is on."""
    device = at.results[-1].device
    if target.is_led and not target.active_level:
        return f"The LED of {device} is {_ON[1 - level]}: its pin {target.pin} is {_LEVELS[level]}"
    led = board_of(at).led
    if led is not None and led.pin == target.pin and not led.active_level:
        lit = f"the LED there is lit by low, so it is {_ON[1 - level]}"
        return f"Pin {target.pin} of {device} is {_LEVELS[level]} ({lit})"
    return f"Pin {target.pin} of {device} is {words[level]}"


def _proof(found: Result) -> str:
    """Return the evidence in brackets, what was stopped for it, and what to know of the pin."""
    kind, text = found.proof
    warning = found.fields.get("warning")
    if warning:
        careful = f". Careful: {warning}"
    else:
        careful = ""
    if kind == "accepted":
        return f", as far as the board accepted it: it offers no read-back{careful}"
    if found.fields.get("stopped"):
        stopped = f", and {found.fields['stopped']} is stopped"
    else:
        stopped = ""
    if text:
        proof = f" ({text})"
    else:
        proof = ""
    return f"{proof}{stopped}{careful}"


def _line(one: Mapping[str, Any]) -> str:
    if one.get("next"):
        then = f"next {one['next']}"
    else:
        then = str(one.get("state"))
    return f"{one['schedule']}: {one.get('when')}: {one.get('what')} ({then})"
