"""Questions about two readings at once, a time of day and what is wired. None of them acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from microclaw.agent.language.times import When, open_question
from microclaw.agent.offline.actions import ACTIONS
from microclaw.agent.offline.boards import device_of
from microclaw.agent.offline.decision import Act, Context, Decider, Decision, Parse, Say
from microclaw.agent.offline.questions import next_read
from microclaw.agent.offline.ready_programs import join_words
from microclaw.hardware.parts.wiring import WiredPart

_BOTH: Final = ("temperature", "humidity")


def _two_readings(context: Context) -> Decision:
    """Read the temperature, then the humidity, and tell both."""
    texts = list[str]()
    for number, quantity in enumerate(_BOTH):
        results = context.results[number : number + 1]
        parse = Parse("read_sensor", {"quantity": quantity})
        decision = ACTIONS["read_sensor"](replace(context, parse=parse, results=results))
        if isinstance(decision, Act) or decision.code is not None:
            return decision
        texts.append(decision.text)
    return Say(" ".join(texts))


def _happens_at(context: Context) -> Decision:
    """List what is scheduled for a time of day, with the day on which it is due next."""
    when = context.parse.when or When()
    question = open_question(when)
    if question is not None or when.clock is None:
        return Say("At what time?", "ambiguous", "what happens at 6:30")
    call = next_read(context, "schedule-list")
    if call is not None:
        return call
    rows = list[str]()
    for row in sorted(context.results[-1].fields.get("schedules", ()), key=_due):
        times = f"{row.get('when')} {row.get('next')}"
        if row.get("state") != "over" and when.clock in times:
            rows.append(f"{row.get('what')} (schedule {row['schedule']}, {row.get('when')}; next {row.get('next')})")
    if not rows:
        return Say(f"No schedule names {when.clock}.", next_step="what is scheduled")
    return Say(f"At {when.clock}: {'; '.join(rows)}.")


def _due(row: Mapping[str, Any]) -> str:
    # A tool writes times as ISO 8601, all in one zone.
    return str(row.get("next_ms"))


def _wired_parts(context: Context) -> Decision:
    """List the parts of the board's record, and the pins that have only a name."""
    device = device_of(context)
    rows = dict[int, str]()
    for name in context.device_context.names:
        if name.device in (None, device.name.lower()):
            rows[name.pin] = f"{name.name} on pin {name.pin}"
    texts = list[str]()
    for part in device.wiring.parts:
        texts.append(_part_words(part))
        for pin in part.pins.values():
            rows.pop(pin, None)
    texts += rows.values()
    if not texts:
        return Say(f"Nothing is recorded as wired to {device.name}.", next_step="say it, as in: the lamp is on pin 5")
    return Say(f"Recorded as wired to {device.name}: {'; '.join(texts)}.")


def _part_words(part: WiredPart) -> str:
    """Return "lamp (led) on pin 5", with several pins the role of each, and the address if it has one."""
    words = part.label or part.id
    if words != part.part:
        words += f" ({part.part})"
    if len(part.pins) == 1:
        words += f" on pin {next(iter(part.pins.values()))}"
    elif part.pins:
        words += " with " + join_words([f"{role} on pin {pin}" for role, pin in part.pins.items()])
    if part.address is not None:
        words += f" at address {part.address:#x}"
    return words


MORE_QUESTIONS: Final[Mapping[str, Decider]] = {
    "two_readings": _two_readings,
    "happens_at": _happens_at,
    "wired_parts": _wired_parts,
}
