"""`microclaw up` and `status`: run the host in the foreground, and ask it how it is."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from microclaw.cli.mqtt_lines import mqtt_line
from microclaw.cli.options import global_options
from microclaw.config.load import read_database, read_link
from microclaw.config.settings import GatewaySettings
from microclaw.text import count_text

_SWITCH = {"telegram": "telegram.token", "gateway": "gateway.enabled true"}
OPEN_GATEWAY: Final = "open: every program of this machine is the owner there"
_OWN_LINES = ("telegram is off", "the chat gateway is off")  # shown in the channel's own line


def up(
    ctx: typer.Context,
    virtual: Annotated[int, typer.Option("--virtual", min=0, max=16, help="Start N virtual boards with it.")] = 0,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="The API's port, 8080 by default; 0 takes any."),
    ] = None,
    link: Annotated[
        str | None,
        typer.Option("--link", metavar="HOST:PORT|off", help="Where devices connect; 127.0.0.1:8443 by default."),
    ] = None,
    open_gateway: Annotated[
        bool,
        typer.Option("--open-gateway", help="The chat gateway asks programs of this machine for no token."),
    ] = False,
    new_store: Annotated[
        bool,
        typer.Option("--new-store", help="Begin with an empty store where the old one is missing; devices pair again."),
    ] = False,
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="postgresql://…", help="Share that database with other hosts."),
    ] = None,
    link_plain: Annotated[bool, typer.Option("--link-plain", hidden=True)] = False,
    die_with_parent: Annotated[bool, typer.Option("--die-with-parent", hidden=True)] = False,
) -> None:
    """Run the host in the foreground; Ctrl-C stops it."""
    options = global_options(ctx)
    gc.disable()  # what is made until the host is ready stays: to look through it again and again finds nothing
    settings = options.settings()
    http_port = settings.host.http_port if port is None else port
    link_settings = read_link(link or settings.host.link, http_port=http_port, plain=link_plain)
    gateway = settings.gateway
    if gateway is None and not settings.gateway_off:
        gateway = GatewaySettings() if http_port else GatewaySettings(port=0)
    if open_gateway and gateway is not None:
        gateway = replace(gateway, open=True)
    cluster = settings.cluster
    if database is not None:
        cluster = replace(cluster, database=read_database(database))
    settings = replace(settings, http_port=http_port, link=link_settings, gateway=gateway, cluster=cluster)
    from microclaw.cli.hosting import SIGN_IN, run_host

    def ready(facts: dict[str, Any]) -> None:
        gc.freeze()
        gc.enable()
        sign_in = facts.pop(SIGN_IN)
        if options.wrote_json("up", {"ready": True, **facts}):
            return
        terminal = options.terminal()
        took = "" if facts["ready_s"] is None else f" in {facts['ready_s']:.1f} s"
        terminal.row("host", f"ready{took}            api {facts['http'] or 'off'}{link_text(facts['link'])}")
        if facts["gateway"]:
            how = f"token in {facts['gateway_token']}" if facts["gateway_token"] else "a person's token opens it"
            how = OPEN_GATEWAY if facts["gateway_open"] else how
            terminal.row("gateway", f"{facts['gateway']}   {how}")
        if facts["xiaozhi"]:
            terminal.row("xiaozhi", facts["xiaozhi"])
        if facts["wyoming"]:
            terminal.row("wyoming", facts["wyoming"])
        terminal.row("model", facts["model"])
        for board in facts["boards"]:
            terminal.row("board", f"{board['name']} ({board['title']}, own process {board['pid']})")
        for problem in facts["problems"]:
            terminal.row("off", problem)
        if facts["ca_sha256"]:
            terminal.row("https", f"own authority, SHA-256 {facts['ca_sha256']}; browsers: microclaw person ca FILE")
        if sign_in:
            terminal.row("sign in", "in a browser: once, within 10 minutes; for another link: microclaw open")
            terminal.line(sign_in)  # whole, so that it can be copied
        terminal.row("", "Ctrl-C stops it; talk to it from another terminal: microclaw chat")

    try:
        run_host(
            settings,
            virtual_boards=virtual,
            ready=ready,
            verbose=options.verbose,
            die_with_parent=die_with_parent,
            new_store=new_store,
        )
    finally:
        gc.enable()


def status(ctx: typer.Context) -> None:
    """What the host is doing: model, devices, programs."""
    options = global_options(ctx)
    address = options.address()
    found = options.fetch("status", "/v1/status")
    terminal = options.terminal()
    if address is not None:
        terminal.row("at", str(address))
    for name, text in screen_rows(found):
        terminal.row(name, text)


def waiting_lines(pairings: Iterable[dict[str, Any]]) -> list[str]:
    """Devices that wait to be paired, one a line. Their codes are theirs to show."""
    return [
        f"{found['board']} at {found['address']} shows a code, good for {found['seconds_left']} s: "
        "microclaw device pair CODE"
        for found in pairings
    ]


def _xiaozhi_line(xiaozhi: dict[str, Any]) -> str:
    """What a person types into a device, and how many are here."""
    return f"{xiaozhi['ota']}   {count_text(xiaozhi['connected'], 'device')} connected"


def screen_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The host's status as a screen: what each line is about, and the line. People who are not owners see less."""
    link = found["link"]
    rows = [
        ("host", f"running{_pid(found)}, up {found['up_s']:.0f} s, {found['rss_mb']:.0f} MB"),
        ("api", found["http"] or "only the control socket"),
        ("link", _link_line(link)),
        *(("pairing", line) for line in waiting_lines((link or {}).get("waiting", ()))),
        ("model", found["model"] + _spent(found.get("usage"))),
        *(("model", line) for line in _outage_lines(found)),
        *(("context", context["text"]) for context in (found.get("context"),) if context and context["text"]),
        *((channel["name"], _channel_line(channel)) for channel in found.get("channels", ())),
        *(("xiaozhi", _xiaozhi_line(one)) for one in (found.get("xiaozhi"),) if one and one["ota"]),
        *(("wyoming", address) for address in (found.get("wyoming", {}).get("address"),) if address),
        *(("mqtt", mqtt_line(one)) for one in (found.get("mqtt"),) if one and one["state"] != "off"),
        *(("mcp", f"{name}: {state}") for name, state in found.get("mcp_servers", {}).items()),
        *(("failing", line) for line in failing_lines(found)),
        *(("off", problem) for problem in found.get("problems", ()) if not problem.startswith(_OWN_LINES)),
        *(("alarm", f"{alarm['text']}   {alarm['next']}") for alarm in found.get("alarms", ())),
        *(("backup", backup_line(one)) for one in (found.get("backup"),) if one),
        *(("code", line) for line in _code_lines(found.get("code"))),
        *(("rollout", _rollout_line(one)) for one in found.get("rollouts", ())),
        *(("schedule", line) for line in _schedule_lines(found.get("schedules"))),
        *(("approval", line) for line in _approval_lines(found.get("approvals"))),
        *(("deferred", line) for line in _deferred_lines(found.get("deferred"))),
        *(("crash", line) for line in _crash_lines(found.get("crashes"))),
        *(("telemetry", f"{one['device']}: {one['text']}") for one in found.get("telemetry", ())),
        *(("device", _device_line(device)) for device in found["devices"]),
    ]
    if not found["devices"]:
        rows.append(("device", "none: microclaw device add NAME --wasmachine HOST:PORT"))
    return rows


def _pid(found: dict[str, Any]) -> str:
    return f" (pid {found['pid']})" if "pid" in found else ""


def _device_line(device: dict[str, Any]) -> str:
    apps = ", ".join(device["apps"]) or "no programs"
    since = "" if device["reachable"] is not False else ", does not answer"
    since = ", never reached" if device["never_reached"] else since
    problem = "" if since or not device["problem"] else f"   problem: {device['problem']}"
    return f"{device['name']} ({device['board']}): {apps}{since}{_process_text(device.get('process'))}{problem}"


def _process_text(process: dict[str, Any] | None) -> str:
    """The state of a virtual board's process, if it was restarted or failed."""
    if process is None:
        return ""
    if process["state"] == "failed":
        return f"   failed: {process['reason']} - {process['next']}"
    if process["state"] == "restarting":
        return f"   is being started again ({process['reason']})"
    count = process["restarts"]
    if not count:
        return ""
    return f"   restarted {count_text(count, 'time')}, last {_moment(process['last_ms'])}"


def link_text(address: str | None) -> str:
    """The link's part of the host's line, as in `link wss :8443`."""
    if address is None:
        return ""
    parts = urlsplit(address)
    place = f":{parts.port}" if parts.hostname in ("127.0.0.1", "::1") else parts.netloc
    return f"   link {parts.scheme} {place}"


def _spent(usage: dict[str, Any] | None) -> str:
    """What models cost today, where any was asked or a limit is set."""
    if usage is None or not (usage["requests"] or usage["day_usd"] is not None or usage["day_tokens"] is not None):
        return ""
    of = "" if usage["day_usd"] is None else f" of ${usage['day_usd']:.2f}"
    tokens = "" if usage["day_tokens"] is None else f" of {usage['day_tokens']:,}"
    return f"   today ${usage['cost_usd']:.2f}{of}, {usage['tokens']:,}{tokens} tokens"


def _outage_lines(found: dict[str, Any]) -> list[str]:
    """What a person may do about each model that is out; the first line of the screen's model says the rest."""
    lines: list[str] = []
    for out in found.get("model_outages", ()):
        prefix = "" if out["text"] == found["model"] else f"{out['text']}: "
        lines.append(f"{prefix}{out['reason']}" + (f" - {out['next']}" if out["next"] else ""))
    return lines


def _channel_line(channel: dict[str, Any]) -> str:
    match channel["state"]:
        case "off":
            how = f"off: {channel['text']}" if channel["text"] else "off"
            return how if channel["text"] else f"{how} (microclaw config set {_SWITCH[channel['name']]})"
        case "on" if channel["name"] == "gateway":
            counted = f"{channel['text']}   {count_text(channel['clients'], 'client')}"
            return f"{counted}   {OPEN_GATEWAY}" if channel["open"] else counted
        case "on":
            return f"{channel['text']} listens"
        case state:
            return f"{state}: {channel['text']}" if channel["text"] else str(state)


def failing_lines(found: dict[str, Any]) -> list[str]:
    """The background tasks that fail now: how often, since when, why."""
    return [
        f"{task['name']}: failed {count_text(task['in_a_row'], 'time')}, "
        f"last {_moment(task['failed_ms'])}: {task['reason']}"
        for task in found.get("tasks", ())
        if task["phase"] == "failing"
    ]


def backup_line(state: dict[str, Any]) -> str:
    """How the backups that the host makes by itself stand."""
    plan = f"every {state['every']}, {state['keep']} are kept"
    if state["count"] is None:
        return f"{state['folder']} was not read yet; {plan}"
    if state["last_ms"] is None:
        return f"none yet in {state['folder']}; {plan}"
    return f"last {_moment(state['last_ms'])}; {state['count']} in {state['folder']}, {plan}"


def _rollout_line(one: dict[str, Any]) -> str:
    step = f"next: microclaw firmware rollouts {one['rollout']}"
    return f"{one['rollout']} of {one['version']}: {one['state']}, {one['text']}; {step}"


def _code_lines(code: dict[str, Any] | None) -> list[str]:
    """Code in the sandbox, where some runs or waits, or ran since the host started."""
    if code is None or not (code["running"] or code["waiting"] or code["endings"]):
        return []
    ended = sum(code["endings"].values())
    return [f"{code['running']} running, {code['waiting']} waiting, {ended} ended: microclaw task list"]


def _schedule_lines(schedules: dict[str, Any] | None) -> list[str]:
    if schedules is None or not (schedules["active"] or schedules["paused"]):
        return []
    lines = [f"{_moment(entry['next_ms'])}   {entry['what']} ({entry['said']})" for entry in schedules["next"]]
    more, paused = schedules["active"] - len(lines), schedules["paused"]
    rest = [f"{more} more"] * (more > 0) + [f"{paused} paused"] * (paused > 0)
    return [*lines, f"{', '.join(rest)}: microclaw schedule list"] if rest else lines


def _deferred_lines(deferred: dict[str, Any] | None) -> list[str]:
    if deferred is None:
        return []
    waiting = [f"{one['text']}, when it is back (since {_moment(one['since_ms'])})" for one in deferred["waiting"]]
    ended = [f"{one['text']}: {one['state']} {_moment(one['ended_ms'])}: {one['outcome']}" for one in deferred["ended"]]
    return [*waiting, *ended]


def _crash_lines(crashes: dict[str, Any] | None) -> list[str]:
    """ "2 kinds of crash in the last day on 3 boards; next: microclaw crash list"."""
    if crashes is None or not crashes["kinds"]:
        return []
    kinds, boards = count_text(crashes["kinds"], "kind"), count_text(crashes["boards"], "board")
    return [f"{kinds} of crash in the last day on {boards}; next: microclaw crash list"]


def _approval_lines(approvals: dict[str, Any] | None) -> list[str]:
    if approvals is None or not approvals["pending"]:
        return []
    lines = [f"{a['action']} (asked by {a['asked_by']})" for a in approvals["first"]]
    more = approvals["pending"] - len(lines)
    return [*lines, f"{f'{more} more: ' if more > 0 else ''}microclaw approval list"]


def _moment(at_ms: int) -> str:
    return time.strftime("%a %d %b %H:%M", time.localtime(at_ms / 1000))


def _link_line(link: dict[str, Any] | None) -> str:
    if link is None:
        return "off: no device can connect here"
    connected = ", ".join(link["connected"]) or "no device connected"
    waiting = f", {link['pairing']} waiting to be paired" if link["pairing"] else ""
    return f"{link['address']}   {connected}{waiting}"
