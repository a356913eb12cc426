"""Sentences about programs on a device: first what runs there, then what to do. Acts only on what the device lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.language.quantities import normalize_quantities
from microclaw.models.protocol import KnownDevice
from microclaw.offline.boards import board_of, pin_target
from microclaw.offline.decision import Act, Context, Decider, Decision, Say, ToolFields

App: TypeAlias = Mapping[str, Any]

_REMOVE: Final = "uninstall-wasm-app"
_SWITCH: Final = "switch-program"
IT: Final = frozenset({None, "", "it", "that", "this", "them"})
"""Names that name no program."""

_NO_NAME = re.compile(r"\b(?:my|the|that|this|our|little|thingy?|stuff|program|programme|app|one|light|led|effect)\b")
_TAKES_OFF = re.compile(r"(?i)\b(?:remov|delet|uninstall|get(?:ting)? rid|clear|eras|wip|free|releas|take .* off)")


class AppOverview(Struct, frozen=True):
    """The programs of a device: as it lists them, lost there and to be redeployed, and stopped, kept for a start."""

    device: str
    apps: Mapping[str, App]
    missing: Sequence[str]
    stopped: Sequence[str]

    def __str__(self) -> str:
        """Return the programs as one clause."""
        shown = f"On {self.device}: {', '.join(map(_shown, self.apps.values())) or 'no program'}"
        if self.missing:
            shown += f"; missing there, to be redeployed: {', '.join(self.missing)}"
        if self.stopped:
            shown += f"; stopped: {', '.join(self.stopped)}"
        return shown


def _shown(app: App) -> str:
    pins = app.get("pins") or []
    facts = []
    if app.get("state"):
        facts.append(str(app["state"]))
    if app.get("error") and app.get("state") == "running":
        facts.append("had a fault")
    if pins:
        word = "pins" if len(pins) > 1 else "pin"
        facts.append(f"{word} {', '.join(map(str, pins))}")
    if facts:
        return f"{app['name']} ({', '.join(facts)})"
    return str(app["name"])


def _app_status(context: Context, there: AppOverview) -> Say:
    named = _meant(context, there.apps)
    device = there.device
    if context.parse.kind == "list_apps" or (context.parse.word("app") in IT and len(there.apps) != 1):
        return Say(f"{there}.")
    if not named:
        return Say(f"No program of that name runs. {there}.")
    app = there.apps[named[0]]
    state = app.get("state") or "listed"
    fault = ""
    error = ""
    if app.get("error"):
        fault = f", but {app['error']}"
        error = f": {app['error']}"
    texts = {
        "running": f"runs on {device} ({_proof(context.results[0])}){fault}",
        "listed": f"is listed by {device}; whether it still does its work, its firmware does not tell",
        "waiting": f"waits for its next run on {device} ({app.get('runs') or 'it runs context times'})",
    }
    text = texts.get(state, f"is on {device} but {state}{error}")
    return Say(f"{named[0]} {text}.")


def _remove(context: Context, there: AppOverview) -> Decision:
    """Stop or remove the program of a name, those on a pin, or all of them after a yes."""
    kind = context.parse.kind
    said = context.parse.word("app")
    listed = [*there.apps, *there.missing]
    verb = "remove" if _TAKES_OFF.search(context.said) else "stop"
    step = "what is running"
    if kind == "remove_on_pin":
        pin = pin_target(context).pin
        meant = [name for name, app in there.apps.items() if pin in app.get("pins", ())]
        none = f"No program of this host uses pin {pin}"
    elif kind == "remove_all":
        # What has ended is not stopped: undo would begin it once more.
        over = [name for name, app in there.apps.items() if verb == "stop" and app.get("state") == "ended"]
        meant = [name for name in listed if name not in over]
        if not meant:
            return Say(f"{there}: there is nothing to {verb}.")
    else:
        kept = () if said in IT else there.stopped
        meant = _meant(context, [*listed, *(kept if verb == "remove" else ())])
        stopped = matching(kept, said) if said is not None else []
        if stopped and not meant:
            step = f"start {stopped[0]}; or: remove {stopped[0]}"
            return Say(f"{stopped[0]} is stopped already on {there.device}.", next_step=step)
        if said in IT:
            none = "There is nothing to stop"
        else:
            none = f"There is no program {said!r}"
        if there.apps:
            step = f"name one that is there: {listed[0]}"
        else:
            step = "make one, as in: blink pin 2"
        if len(meant) > 1:
            return Say(f"Which one: {', '.join(meant)}?", "ambiguous", f"stop {meant[0]}")
    if not meant:
        return Say(f"{none}. {there}.", "app_not_found", step)
    if kind == "remove_all" and not context.parse.confirmed:
        preposition = "on" if verb == "stop" else "from"
        words = f"{', '.join(meant)} {preposition} {there.device}"
        return Say(f"That {verb}s {words}. Say yes to do it.", "confirm", f"yes, {verb} {words}", "confirmed")
    return _remove_each(context, there, meant)


def _switch_app(context: Context, there: AppOverview) -> Decision:
    """Start or restart a program by its name. One that was removed is no program here: undo brings it back."""
    last = context.results[-1]
    said = context.parse.word("app") or ""
    switch = context.parse.word("switch") or "restart"
    if last.tool == _SWITCH:
        return Say(f"{last.fields.get('appName')} {switch}ed on {last.device} ({_proof(last)}).")
    named = matching([*there.apps, *there.stopped, *there.missing], said)
    if not named:
        return Say(f"There is no program {said!r}. {there}.", "app_not_found", "what is running")
    name = named[0]
    if name not in there.apps and name in there.stopped:
        switch = "start"
    elif switch == "start" and there.apps.get(name, {}).get("state") in ("running", "waiting", "listed", None):
        return Say(f"{name} is on {there.device} and was not stopped.", next_step=f"restart {name} on {there.device}")
    elif switch == "start":
        switch = "restart"  # it ended by itself
    return Act(_SWITCH, context.on_device(appName=name, switch=switch), f"{switch} {name}")


def _remove_each(context: Context, there: AppOverview, meant: Sequence[str]) -> Decision:
    """Take these programs off one after the other, then tell of it; "stop" keeps them for a start."""
    gone = [str(f.fields.get("appName")) for f in context.results if f.tool in (_REMOVE, _SWITCH)]
    name = next((one for one in meant if one not in gone), None)
    if name:
        # What is not this host's cannot be kept.
        if _TAKES_OFF.search(context.said) or there.apps.get(name, {}).get("foreign"):
            return Act(_REMOVE, context.on_device(appName=name), f"remove {name}")
        return Act(_SWITCH, context.on_device(appName=name, switch="stop"), f"stop {name}")
    last = context.results[-1]
    names = ", ".join(gone)
    if last.tool == _SWITCH:
        if len(gone) == 1:
            back = f"start {gone[0]}"
        else:
            back = "start and a name"
        return Say(f'{names} stopped on {last.device} ({_proof(last)}); undo or "{back}" brings it back.')
    is_undoable = len(gone) == 1 and last.fields.get("undoable") is True
    undo = "; undo brings it back" if is_undoable else ""
    return Say(f"{names} removed from {last.device} ({_proof(last)}){undo}.")


_KINDS: Mapping[str, Callable[[Context, AppOverview], Decision]] = {
    **dict.fromkeys(("list_apps", "app_status"), _app_status),
    **dict.fromkeys(("remove_app", "remove_on_pin", "remove_all"), _remove),
    "switch_app": _switch_app,
}


def _decide(context: Context) -> Decision:
    """Ask the device for its list first, then decide."""
    boards = [device for device in context.device_context.devices if device.board.pins]
    if context.device is None and context.parse.kind == "list_apps" and len(boards) > 1:
        lines = [f"{board.name}: {', '.join(app.name for app in board.apps) or 'nothing'}" for board in boards]
        return Say("\n".join(("What this host put there:", *lines)), next_step=f"what is running on {boards[0].name}")
    said = context.parse.word("app") or ""
    if context.device is None:
        asked = boards
    else:
        asked = [context.device]
    names = set[str]()
    if said:
        all_names = list[str]()
        for board in asked:
            all_names.extend(known_apps(board))
        names.update(matching(all_names, said))
    having = [board for board in asked if not names.isdisjoint(known_apps(board))]
    if context.parse.kind == "switch_app" and not having:
        if said in IT | {"again"}:
            text = "Start which program?"
        else:
            text = f"There is no program {said!r} of this host."
        return Say(text, "app_not_found", "undo brings back one that was just removed; what is running")
    if context.device is None and len(having) == 1:
        context = replace(context, named=having[0])
    if context.results:
        fields = context.results[0].fields
        listed = {str(app["name"]): app for app in fields.get("apps", ()) if "name" in app}
        there = AppOverview(context.results[0].device, listed, fields.get("missing") or (), fields.get("stopped") or ())
        return _KINDS[context.parse.kind](context, there)
    board_of(context)  # asks which device
    if context.parse.kind == "remove_on_pin":
        pin_target(context)  # asks which pin, before the board is asked
    return Act("query-wasm-apps", context.on_device())


APPS: Mapping[str, Decider] = dict.fromkeys(_KINDS, _decide)


def known_apps(board: KnownDevice) -> list[str]:
    """Return the programs that this host put on the board, with the stopped ones."""
    return [*(app.name for app in board.apps), *board.stopped]


def _meant(context: Context, names: Collection[str]) -> list[str]:
    """Return the apps with the name in the sentence.

    Without a name ("stop it"), return the apps whose name is a word of the sentence, or all of them.
    """
    said = context.parse.word("app") or ""
    if said not in IT:
        return matching(names, said)
    words = {_stem(word) for word in re.findall(r"[\w-]+", context.said.lower())}
    return [name for name in names if _stem(name) in words] or list(names)


def matching(names: Collection[str], said: str) -> list[str]:
    """Return the names that are equal to this one, else to its bare word ("traffic light" for "traffic-light")."""
    bare = _NO_NAME.sub(" ", said).strip()  # "my blinky thing" is named "blinky"
    for form in (str, _plain, _stem):
        if form is _stem:
            wanted = {form(said), form(bare)}
        else:
            wanted = {form(said)}
        found = [name for name in names if form(name) in wanted]
        if found:
            return found
    return []


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", normalize_quantities(name.lower()))  # as the sentence is: "zero" is 0 in it


def _stem(name: str) -> str:
    """ "blinker", "blinking" and "blink" are one word, "fader" and "fade" too."""
    return re.sub(r"(?:ing|er|ed|e|r|y)$", "", _plain(name))


def _proof(found: ToolFields) -> str:
    return found.proof[1] or "accepted, no read-back"
