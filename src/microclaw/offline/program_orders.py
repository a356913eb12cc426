"""Orders about a program by its exact name ("stop lamp", "run fan every 10 minutes for 5 seconds").

A program may be called as a part ("lamp") or a word of other orders ("steps"), so they are read before the templates.
Only whole names of programs that a board has count here; whatever else is said goes on to the templates.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import split_when
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline.decision import Act, Context, Decision, Say
from microclaw.offline.paces import check_whole, exact_ms
from microclaw.offline.parse import Parse, Values
from microclaw.text import format_duration

Order: TypeAlias = tuple[Parse | Say, KnownDevice | None]
"""What is to be done, or asked, and the board that alone has the program."""
_POLITE: Final = r"\W*(?:(?:please|can you|could you|would you) )*"
_NAME: Final = r"(?:(?:the|my|our) )?(?:(?:app|program) )?(?:(?:called|named) )?(?P<name>[a-z0-9][\w-]*)"
_ORDER: Final = re.compile(
    rf"(?i){_POLITE}(?P<verb>stop|end|kill|quit|remove|delete|uninstall|start|run|restart|rerun) {_NAME}"
    r"(?P<is_app> (?:app|program))?(?: again)?(?: now)?(?:,? please)?\W*"
)
_SWITCHES: Final = {"start": "start", "run": "start", "restart": "restart", "rerun": "restart"}
_STOPS: Final = ("stop", "end", "kill", "quit")
_SAYS_APP: Final = re.compile(r"(?i)\b(?:app|program) ")
_NO_NAMES: Final = frozenset(
    re.findall(
        r"\w+",
        "it that this them these those one all everything again last board boards device devices chip esp esp32 host "
        "server microclaw pin led light lamp",
    )
)
_TIMED_NAME: Final = rf"{_NAME}(?: (?:app|program))?"
_ALWAYS: Final = r"(?P<always>all the time|without (?:a )?(?:pauses?|breaks?|intervals?)|for ?ever|continuously)"
_EVERY: Final = r"(?:(?:once )?(?:every|each) (?P<every>\d+)|period (?P<period>\d{5,})) ms"
"""A period is "twice an hour" or "once every 10 minutes"; a short one ("2 Hz") is how fast something blinks."""
_FOR: Final = r"(?:,? (?:and|but|then))*,? ?(?:for|stop(?:ping)? (?:it )?after|lasting) (?P<stop>\d+) ms"
_TIMES: Final = tuple(
    re.compile(f"(?i){_POLITE}{order}(?: (?:each|every) (?:time|run))?(?:,? please)?\\W*")
    for order in (
        rf"(?:run|start|repeat|let|have|make) {_TIMED_NAME}(?: run)? {_EVERY}(?:{_FOR})?",
        rf"(?:run|start|repeat) {_TIMED_NAME} for (?P<stop>\d+) ms,? {_EVERY}",
        rf"{_EVERY},? (?:run|start) {_TIMED_NAME}(?: for (?P<stop>\d+) ms)?",
        rf"stop {_TIMED_NAME} (?P<stop>\d+) ms after (?:it starts|its start|each start|every start)",
        rf"stop {_TIMED_NAME} after (?P<stop>\d+) ms",
        rf"(?:run|let) {_TIMED_NAME} (?:run )?{_ALWAYS}",
    )
)


def program_order(said: str, device_context: DeviceContext, device: KnownDevice | None) -> Order | None:
    """The parse of an order about a program, and the board that has it where only one has; None for any other sentence.

    `device` is the one that the sentence names.
    """
    boards = (device,) if device is not None else device_context.devices
    text = normalize_quantities(said)
    order: Order | None = _with_times(text, boards)
    if order is None and (timed := split_when(text, bare_hour=True)) is not None:
        # Nothing but the order and one time may be said: "every second tuesday" is not guessed at.
        what = re.sub(rf"(?i)^{_POLITE}", "", timed[0])
        found, there = _at_once(what, boards, device_context) or (None, None)
        if isinstance(found, Parse) and any(_named_on(board, found.word("app") or "", kept=True) for board in boards):
            values: Values = {**found.values, "what": what, "order": found.kind}
            order = Parse("schedule", values, when=timed[1]), there
    order = order or _at_once(said, boards, device_context)
    return order and (order[0], order[1] or device)


def _at_once(said: str, boards: tuple[KnownDevice, ...], device_context: DeviceContext) -> Order | None:
    """ "Stop lamp", "restart steps". Who restarts what no board has hears so: that is never another act."""
    found = _ORDER.fullmatch(said)
    if found is None:
        return None
    verb, name = found["verb"].lower(), found["name"]
    switch = _SWITCHES.get(verb)
    having = [(board, app) for board in boards for app in _named_on(board, name, kept=verb not in _STOPS)]
    is_unknown_restart = switch == "restart" and name.lower() not in _NO_NAMES
    if not having and not is_unknown_restart and not (switch == "start" and found["is_app"]):
        return None
    called = next((one.name for one in device_context.devices if one.name.lower() == name.lower()), None)
    if called is not None and switch == "restart" and not (found["is_app"] or _SAYS_APP.search(said)):
        text = f"{called} is a device, and a program is called so, too. Which do you mean? Nothing was done."
        return Say(text, "ambiguous", f"restart the program {called}; or: restart the board on {called}"), None
    app = having[0][1] if having else name
    if switch is None:
        return Parse("remove_app", {"app": app}), None
    return Parse("switch_app", {"app": app, "switch": switch}), having[0][0] if len(having) == 1 else None


def _with_times(said: str, boards: tuple[KnownDevice, ...]) -> Order | None:
    """ "Run fan every 10 minutes for 5 seconds", of a program that a board has."""
    found = next((match for order in _TIMES if (match := order.fullmatch(said)) is not None), None)
    if found is None:
        return None
    parts = found.groupdict()
    having = [(board, app) for board in boards for app in _named_on(board, str(parts["name"]), kept=False)]
    if not having:
        return None
    values: Values = {"app": having[0][1]}
    if parts.get("always"):
        values["always"] = True
    for slot, group in (("every_ms", "every"), ("every_ms", "period"), ("stop_ms", "stop")):
        if parts.get(group):
            values[slot] = int(parts[group])
    return Parse("set_times", values), having[0][0] if len(having) == 1 else None


def set_times(at: Context) -> Decision:
    """An interval without a length has none: "every 10 minutes" leaves out how long a run lasts."""
    app, every, stop = at.parse.word("app") or "", at.parse.number("every_ms"), at.parse.number("stop_ms")
    if at.results:
        last = at.results[-1]
        if last.fields.get("unchanged"):
            return Say(f"{last.fields.get('message')}.")
        proof = last.proof[1] or "accepted, no read-back"
        return Say(f"{app} on {last.device} runs {last.fields.get('runs')} from now on ({proof}).")
    for slot in ("every_ms", "stop_ms"):
        check_whole(at, exact_ms(at.parse, slot))
    times = {"every": f"{every}ms"} if every is not None else {}
    words = f"run {app} every {format_duration(every)}" if every is not None else f"stop {app}"
    if stop is not None:
        times["stopAfter"] = f"{stop}ms"
        words += f" {'after' if every is None else 'for'} {format_duration(stop)}"
    if at.parse.values.get("always") is True:
        times, words = {"every": "off", "stopAfter": "off"}, f"run {app} all the time"
    shown = ", ".join(f"{name}={text}" for name, text in times.items())
    plan = "the program is kept and begun anew at its times; tried with them first"
    return Act("set-program-times", at.on_device(appName=app, **times), f"times(app={app}, {shown})", plan, words=words)


def _named_on(board: KnownDevice, name: str, *, kept: bool) -> list[str]:
    """The board's programs of that name; `kept`: also those that are stopped, to be started or removed."""
    there = [app.name for app in board.apps] + [*(board.stopped if kept else ())]
    return [one for one in there if one.lower() == name.lower()]
