"""Sentences about programs on a device: first what runs there, then what to do. Acts only on what the device lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from microclaw.models.protocol import KnownDevice
from microclaw.offline.decision import Act, Context, Decision, Result, Say, failure
from microclaw.offline.pins import pin_target

_NO_NAME = re.compile(
    r"\b(?:my|the|that|this|our|little|thing|thingy|stuff|program|programme|app|one|light|led|effect)\b"
)
_ENDED = re.compile(r"(?i)^\W*(?:did|has|have|is)\b.*\b(?:stop|end|finish|crash|die|trap)")
_TAKES_OFF = re.compile(r"(?i)\b(?:remov|delet|uninstall|get(?:ting)? rid|clear|eras|wip|free|releas|take .* off)")
_MAX_BOARDS: Final = 8
"""So many are asked one after the other; of more than that it asks which one is meant."""
_QUERY = "query-wasm-apps"
_REMOVE = "uninstall-wasm-app"
_SWITCH = "switch-program"
ON_BOARDS: Final = "act-on-boards"


def _list_apps(at: Context, apps: Sequence[Mapping[str, Any]]) -> Decision:
    return Say(f"{_running(at, apps)}.")


def _app_status(at: Context, apps: Sequence[Mapping[str, Any]]) -> Say:
    named, device = _meant(at, apps), at.results[0].device
    if not _name_said(at) and len(apps) != 1:
        return Say(f"{_running(at, apps)}.")
    if not named:
        return Say(f"No program of that name runs. {_running(at, apps)}.")
    name, state = named[0]["name"], named[0].get("state")
    yes, no = ("", "") if _ENDED.search(at.said) else ("Yes, ", "No, ")
    if state == "running":
        return Say(f"{yes}{name} runs on {device} ({_proof(at.results[0])}).")
    if state in ("listed", None):
        return Say(f"{device} lists {name}; whether it still does its work, its firmware does not tell.")
    if state == "waiting":
        return Say(f"{name} waits for its next run on {device} ({named[0].get('runs') or 'it runs at times'}).")
    error = f": {named[0]['error']}" if named[0].get("error") else ""
    return Say(f"{no}{name} is on {device} but {state}{error}.")


def _remove_app(at: Context, apps: Sequence[Mapping[str, Any]]) -> Decision:
    if done := _removed(at):
        return done
    said = _name_said(at)
    kept = _stopped(at) if said else []
    named = _meant(at, [*apps, *_missing(at), *(() if _keeps(at) else kept)])
    if not named and (stopped := matching(kept, said)):
        name, device = stopped[0]["name"], at.results[0].device
        return Say(f"{name} is stopped already on {device}.", next_step=f"start {name}; or: remove {name}")
    if not named and not said:
        return Say(f"{_running(at, apps)}: there is nothing to stop.", "app_not_found", "what is running")
    if not named:
        return Say(f"There is no program {said!r}. {_running(at, apps)}.", "app_not_found", _name_one(apps))
    if len(named) > 1:
        names = " or ".join(str(app["name"]) for app in named)
        return Say(f"Which one: {names}?", "ambiguous", f"stop {named[0]['name']}")
    return _remove(at, named[0])


def _switch_app(at: Context, apps: Sequence[Mapping[str, Any]]) -> Decision:
    """Start or restart a program by its name. One that was removed is no program here: undo brings it back."""
    last, device = at.results[-1], at.results[0].device
    said, switch = at.parse.word("app") or "", at.parse.word("switch") or "restart"
    if last.tool == _SWITCH:
        return Say(f"{last.fields.get('appName')} {switch}ed on {last.device} ({_proof(last)}).")
    stopped = _stopped(at)
    named = matching([*apps, *stopped, *_missing(at)], said)
    if not named:
        step = "undo brings back one that was just removed; what is running"
        return Say(f"There is no program {said!r} on {device}. {_running(at, apps)}.", "app_not_found", step)
    name = str(named[0]["name"])
    if named[0] in stopped:
        switch = "start"
    elif switch == "start" and named[0].get("state") in ("running", "waiting", "listed", None):
        return Say(f"{name} is on {device} and was not stopped.", next_step=f"restart {name} on {device}")
    elif switch == "start":
        switch = "restart"  # it ended by itself
    arguments = at.on_device(appName=name, switch=switch)
    return Act(_SWITCH, arguments, f"{switch} {name}")


def _remove_on_pin(at: Context, apps: Sequence[Mapping[str, Any]]) -> Decision:
    pin = pin_target(at).pin
    if meant := [app for app in apps if pin in app.get("pins", ())]:
        return _remove_each(at, meant)
    return Say(f"No program of this host uses pin {pin}. {_running(at, apps)}.", "app_not_found", _name_one(apps))


def _remove_all(at: Context, apps: Sequence[Mapping[str, Any]]) -> Decision:
    meant = [*apps, *_missing(at)]
    if not meant:
        return Say(f"{_running(at, apps)}: there is nothing to remove.")
    if at.parse.confirmed or _gone(at):
        return _remove_each(at, meant)
    names, device = ", ".join(str(app["name"]) for app in meant), at.results[0].device
    words = f"stop {names} on {device}" if _keeps(at) else f"remove {names} from {device}"
    text = words.replace(" ", "s ", 1)
    return Say(f"That {text}. Say yes to do it.", "confirm", f"yes, {words}", "confirmed")


def _remove_each(at: Context, meant: Sequence[Mapping[str, Any]]) -> Decision:
    """Take these programs off one after the other, then tell of it."""
    left = [app for app in meant if app["name"] not in _gone(at)]
    return _remove(at, left[0]) if left else _removed(at) or Say("Nothing was removed.")


_KINDS: Mapping[str, Callable[[Context, Sequence[Mapping[str, Any]]], Decision]] = {
    "list_apps": _list_apps,
    "app_status": _app_status,
    "remove_app": _remove_app,
    "switch_app": _switch_app,
    "remove_on_pin": _remove_on_pin,
    "remove_all": _remove_all,
}


def is_of_all(at: Context) -> bool:
    """True if a sentence needs no device: it is about all boards, or about a program that one board alone has."""
    is_list = at.parse.kind == "list_apps" and 1 < len(_boards(at)) <= _MAX_BOARDS
    return at.device is None and (is_list or _board_with(at) is not None)


def _boards(at: Context) -> list[KnownDevice]:
    return [device for device in at.device_context.devices if device.board.pins]


def _board_with(at: Context) -> KnownDevice | None:
    """The only board that this host knows to have the program in the sentence, kept ones included."""
    there = {board.name: [*known_apps(board), *({"name": name} for name in board.stopped)] for board in _boards(at)}
    having = [board for board in _boards(at) if _name_said(at) and matching(there[board.name], _name_said(at))]
    return having[0] if len(having) == 1 else None


def known_apps(board: KnownDevice) -> list[Mapping[str, Any]]:
    return [{"name": app.name} for app in board.apps]


def _list_all(at: Context) -> Decision:
    """Ask each board in turn, then tell of all."""
    boards = _boards(at)
    if len(at.results) < len(boards):
        return Act(_QUERY, {"device": boards[len(at.results)].name})
    if not any(found.ok for found in at.results):
        return failure(at.results[0])
    each = zip(boards, at.results, strict=True)
    return Say("\n".join(_board_line(replace(at, results=(found,)), board.name) for board, found in each))


def _board_line(at: Context, name: str) -> str:
    found = at.results[0]
    if found.ok:
        return f"{_running(at, _apps(found))}."
    return f"{name} was not asked: {found.fields.get('message', 'it failed')}."


def _decide(at: Context) -> Decision:
    """Ask the device for its list first, then decide."""
    if at.parse.kind == "list_apps" and is_of_all(at):
        return _list_all(at)
    if at.device is None and (board := _board_with(at)) is not None:
        at = replace(at, device=board, named=True)
    if at.results and not at.results[0].ok:
        return failure(at.results[0])
    if at.results:
        return _KINDS[at.parse.kind](at, _apps(at.results[0]))
    if at.parse.kind == "remove_on_pin":
        pin_target(at)  # asks which pin, before the board is asked
    return Act(_QUERY, at.on_device())


APPS: Mapping[str, Callable[[Context], Decision]] = dict.fromkeys(_KINDS, _decide)


def _apps(found: Result) -> list[Mapping[str, Any]]:
    return [app for app in found.fields.get("apps", ()) if isinstance(app, dict) and "name" in app]


def _missing(at: Context) -> list[Mapping[str, Any]]:
    """Apps that the device lost and the host will redeploy; stopping one ends that."""
    return [{"name": name} for name in at.results[0].fields.get("missing") or () if isinstance(name, str)]


def _stopped(at: Context) -> list[Mapping[str, Any]]:
    """Programs that are kept for a start: on no board, and there to be removed."""
    return [{"name": name} for name in at.results[0].fields.get("stopped") or () if isinstance(name, str)]


def _name_said(at: Context) -> str:
    """The name in the sentence; "" for none and for "it"."""
    said = at.parse.word("app") or ""
    return "" if said in ("it", "that", "this", "them") else said


def _meant(at: Context, apps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The apps with the name in the sentence; without a name ("stop it") those with a word of it, or all."""
    said = _name_said(at)
    if said:
        return matching(apps, said)
    words = re.findall(r"[\w-]+", at.said.lower())
    return [app for app in apps if any(_stem(str(app["name"])) == _stem(word) for word in words)] or list(apps)


def matching(apps: Sequence[Mapping[str, Any]], said: str) -> list[Mapping[str, Any]]:
    """Apps of exactly this name, else of its bare word ("the blinker", "traffic light" for "traffic-light")."""
    exact = [app for app in apps if app["name"] == said]
    if exact:
        return exact
    plain = [app for app in apps if _plain(str(app["name"])) == _plain(said)]
    bare = _NO_NAME.sub(" ", said).strip()  # "my blinky thing" is named "blinky"
    return plain or [app for app in apps if _stem(str(app["name"])) in (_stem(said), _stem(bare))]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())


def _stem(name: str) -> str:
    """ "blinker", "blinking" and "blink" are one word, "fader" and "fade" too."""
    return re.sub(r"(?:ing|er|ed|e|r|y)$", "", _plain(name))


def taking_off(at: Context, app: Mapping[str, Any]) -> Act:
    """Take it off; "stop" keeps it for a start, as `app stop` does. What is not this host's cannot be kept."""
    name = str(app["name"])
    if not _keeps(at) or app.get("foreign"):
        return Act(_REMOVE, {"appName": name}, f"remove {name}")
    return Act(_SWITCH, {"appName": name, "switch": "stop"}, f"stop {name}")


def _remove(at: Context, app: Mapping[str, Any]) -> Act:
    act = taking_off(at, app)
    return replace(act, arguments=at.on_device(**act.arguments))


def _keeps(at: Context) -> bool:
    return _TAKES_OFF.search(at.said) is None


def _gone(at: Context) -> list[str]:
    return [str(f.fields.get("appName")) for f in at.results if f.tool in (_REMOVE, _SWITCH) and f.ok]


def _removed(at: Context) -> Say | None:
    gone = _gone(at)
    if not gone:
        return None
    last = at.results[-1]
    if last.tool == _SWITCH:
        done = f"{', '.join(gone)} stopped on {last.device} ({_proof(last)})"
        back = f"start {gone[0]}" if len(gone) == 1 else "start and a name"
        return Say(f'{done}; undo or "{back}" brings it back.')
    listed = [one for one in at.results if one.tool == _QUERY and one.device == last.device]
    was_stopped = all(name in (one.fields.get("stopped") or ()) for one in listed[:1] for name in gone)
    how = "removed from" if was_stopped else "stopped and taken off"
    done = f"{', '.join(gone)} {how} {last.device} ({_proof(last)})"
    is_undoable = len(gone) == 1 and last.fields.get("undoable") is True
    return Say(f"{done}; undo brings it back." if is_undoable else f"{done}.")


def _running(at: Context, apps: Sequence[Mapping[str, Any]]) -> str:
    """The programs on the device, as one clause."""
    device = at.results[0].device
    missing = ", ".join(str(app["name"]) for app in _missing(at))
    lost = f"; missing there, to be redeployed: {missing}" if missing else ""
    stopped = ", ".join(str(app["name"]) for app in _stopped(at))
    lost += f"; stopped: {stopped}" if stopped else ""
    if not apps:
        return f"No program is on {device}{lost}"
    shown = ", ".join(_shown(app) for app in apps)
    return f"On {device}: {shown}{lost}"


def _name_one(apps: Sequence[Mapping[str, Any]]) -> str:
    """The next step where a program of that name is not there."""
    return f"name one that is there, as in: {apps[0]['name']}" if apps else "make one, as in: blink pin 2"


def _shown(app: Mapping[str, Any]) -> str:
    pins = app.get("pins") or []
    facts = [str(app["state"])] if app.get("state") else []
    if pins:
        facts.append(f"pin{'s' if len(pins) > 1 else ''} {', '.join(map(str, pins))}")
    return f"{app['name']} ({', '.join(facts)})" if facts else str(app["name"])


def _proof(found: Result) -> str:
    return found.proof[1] or "accepted, no read-back"
