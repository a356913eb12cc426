"""Orders about a program by its exact name ("stop lamp", "restart steps"), before that name can be another word.

A program may be called as a part ("lamp") or a word of other orders ("steps"). Only whole names count here; whatever
else is said goes on to the templates. It acts on nothing.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import split_when
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline.decision import Say
from microclaw.offline.parse import Parse

POLITE: Final = r"\W*(?:(?:please|can you|could you|would you) )*"
NAME: Final = r"(?:(?:the|my|our) )?(?:(?:app|program) )?(?:(?:called|named) )?(?P<name>[a-z0-9][\w-]*)"
_ORDER: Final = re.compile(
    rf"(?i){POLITE}"
    r"(?P<verb>stop|end|kill|quit|remove|delete|uninstall|start|run|restart|rerun) "
    rf"{NAME}"
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


def program_order(
    said: str, device_context: DeviceContext, device: KnownDevice | None
) -> tuple[Parse | Say, KnownDevice | None] | None:
    """The parse of an order about a program, and the board that has it where only one has; None for any other sentence.

    `device` is the one that the sentence names. Who restarts what no board has hears so: that is never another act.
    """
    found = _ORDER.fullmatch(said)
    if found is None:
        return None
    verb, name = found["verb"].lower(), found["name"]
    switch = _SWITCHES.get(verb)
    boards = (device,) if device is not None else device_context.devices
    having = [(board, app) for board in boards for app in named_on(board, name, kept=verb not in _STOPS)]
    is_unknown_restart = switch == "restart" and name.lower() not in _NO_NAMES
    if not having and not is_unknown_restart and not (switch == "start" and found["is_app"]):
        return None
    called = next((one.name for one in device_context.devices if one.name.lower() == name.lower()), None)
    if called is not None and switch == "restart" and not (found["is_app"] or _SAYS_APP.search(said)):
        text = f"{called} is a device, and a program is called so, too. Which do you mean? Nothing was done."
        return Say(text, "ambiguous", f"restart the program {called}; or: restart the board on {called}"), device
    app = having[0][1] if having else name
    if switch is None:
        return Parse("remove_app", {"app": app}), device
    return Parse("switch_app", {"app": app, "switch": switch}), having[0][0] if len(having) == 1 else device


def timed_program_order(
    said: str, device_context: DeviceContext, device: KnownDevice | None
) -> tuple[Parse, KnownDevice | None] | None:
    """The schedule of "run blink at 8 pm", for a program that a board has; None for any other sentence.

    Nothing but the order and one time may be said: "every second tuesday" or "but not on sundays" is not guessed at.
    """
    timed = split_when(normalize_quantities(said), bare_hour=True)
    if timed is None:
        return None
    what = re.sub(rf"(?i)^{POLITE}", "", timed[0])
    order, there = program_order(what, device_context, device) or (None, None)
    if order is None or isinstance(order, Say):
        return None
    boards = (device,) if device is not None else device_context.devices
    if not any(named_on(board, order.word("app") or "", kept=True) for board in boards):
        return None
    return Parse("schedule", {**order.values, "what": what, "order": order.kind}, when=timed[1]), there


def named_on(board: KnownDevice, name: str, *, kept: bool) -> list[str]:
    """The board's programs of that name; `kept`: also those that are stopped, to be started or removed."""
    there = [app.name for app in board.apps] + [*(board.stopped if kept else ())]
    return [one for one in there if one.lower() == name.lower()]
