"""Sentences that set when a program runs: "run fan every 10 minutes for 5 seconds". Only of programs that a board has.

It reads the sentence and says what was set; it acts on nothing.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.language.quantities import normalize_quantities
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline.decision import Act, Context, Decision, Say
from microclaw.offline.paces import check_whole, exact_ms
from microclaw.offline.parse import Parse, Values
from microclaw.offline.program_names import NAME, POLITE, named_on
from microclaw.text import format_duration

TOOL: Final = "set-program-times"
_NAME: Final = rf"{NAME}(?: (?:app|program))?"
_ALWAYS: Final = r"(?P<always>all the time|without (?:a )?(?:pauses?|breaks?|intervals?)|for ?ever|continuously)"
_END: Final = r"(?: (?:each|every) (?:time|run))?(?:,? please)?\W*"
_EVERY: Final = r"(?:(?:once )?(?:every|each) (?P<every>\d+)|period (?P<period>\d{5,})) ms"
"""A period is "twice an hour" or "once every 10 minutes"; a short one ("2 Hz") is how fast something blinks."""
_FOR: Final = r"(?:,? (?:and|but|then))*,? ?(?:for|stop(?:ping)? (?:it )?after|lasting) (?P<stop>\d+) ms"
_ORDERS: Final = tuple(
    re.compile(f"(?i){POLITE}{order}{_END}")
    for order in (
        rf"(?:run|start|repeat) {_NAME} {_EVERY}(?:{_FOR})?",
        rf"(?:run|start|repeat) {_NAME} for (?P<stop>\d+) ms,? {_EVERY}",
        rf"(?:let|have|make) {_NAME} run {_EVERY}(?:{_FOR})?",
        rf"{_EVERY},? (?:run|start) {_NAME}(?: for (?P<stop>\d+) ms)?",
        rf"stop {_NAME} (?P<stop>\d+) ms after (?:it starts|its start|each start|every start)",
        rf"stop {_NAME} after (?P<stop>\d+) ms",
        rf"(?:run|let) {_NAME} (?:run )?{_ALWAYS}",
    )
)


def times_order(
    said: str, device_context: DeviceContext, device: KnownDevice | None
) -> tuple[Parse, KnownDevice | None] | None:
    """The parse, and the board that alone has the program; None for any other sentence, or a name that no board has."""
    text = normalize_quantities(said)
    found = next((match for order in _ORDERS if (match := order.fullmatch(text)) is not None), None)
    if found is None:
        return None
    parts = found.groupdict()
    boards = (device,) if device is not None else device_context.devices
    having = [(board, app) for board in boards for app in named_on(board, str(parts["name"]), kept=False)]
    if not having:
        return None
    values: Values = {"app": having[0][1]}
    if parts.get("always"):
        values["always"] = True
    for slot, group in (("every_ms", "every"), ("stop_ms", "stop")):
        if parts.get(group):
            values[slot] = int(parts[group])
    if parts.get("period"):
        values["every_ms"] = int(parts["period"])
    return Parse("set_times", values), having[0][0] if len(having) == 1 else device


def set_times(at: Context) -> Decision:
    """An interval without a length has none: "every 10 minutes" leaves out how long a run lasts."""
    app = at.parse.word("app") or ""
    if at.results:
        last = at.results[-1]
        if last.fields.get("unchanged"):
            return Say(f"{last.fields.get('message')}.")
        return Say(f"{app} on {last.device} runs {last.fields.get('runs')} from now on ({_proof(last.proof)}).")
    every, stop = at.parse.number("every_ms"), at.parse.number("stop_ms")
    for slot in ("every_ms", "stop_ms"):
        check_whole(at, exact_ms(at.parse, slot))
    times: dict[str, str] = {}
    words = [app]
    if at.parse.values.get("always") is True:
        times = {"every": "off", "stopAfter": "off"}
        words = [f"run {app} all the time"]
    elif every is not None:
        times = {"every": f"{every}ms"}
        words = [f"run {app} every {format_duration(every)}"]
        if stop is not None:
            times["stopAfter"] = f"{stop}ms"
            words.append(f"for {format_duration(stop)}")
    elif stop is not None:
        times = {"stopAfter": f"{stop}ms"}
        words = [f"stop {app} after {format_duration(stop)}"]
    shown = ", ".join(f"{name}={text}" for name, text in times.items())
    return Act(
        TOOL,
        at.on_device(appName=app, **times),
        f"times(app={app}, {shown})",
        "the program is kept and begun anew at its times; tried with them first",
        words=" ".join(words),
    )


def _proof(proof: tuple[str, str]) -> str:
    return proof[1] or "accepted, no read-back"
