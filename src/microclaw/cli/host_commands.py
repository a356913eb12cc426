"""`microclaw up`, `status` and `mcp`: run the host in the foreground or by systemd, ask it how it is, serve MCP."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

import click

from microclaw.api.operations import read_status
from microclaw.cli.operation_commands import show
from microclaw.cli.options import GlobalOptions, command
from microclaw.cli.sign_in_commands import open_page
from microclaw.cluster.operations import status as cluster_status
from microclaw.config.load import VARIABLES, find_mistakes, read_database, read_link
from microclaw.config.settings import GatewaySettings
from microclaw.config.sources import KNOWN_VARIABLES, PREFIX
from microclaw.durable import write_given
from microclaw.errors import ConfigError, MicroclawError, NotSupported, UnknownName
from microclaw.models.operations import usage
from microclaw.store.usage import KEPT_DAYS, UsageGroup

ServiceAct: TypeAlias = Literal["install", "remove", "file"]
OPEN_GATEWAY: Final = "open: every program of this machine is the owner there"


@command()
@click.option("--virtual", "virtual_boards", default=0, type=click.IntRange(0, 16), help="Start N virtual boards.")
@click.option("--port", type=click.IntRange(0, 65535), help="The API's port, 8080 by default; 0 takes any.")
@click.option("--link", metavar="HOST:PORT|off", help="Where devices connect; 127.0.0.1:8443 by default.")
@click.option("--open-gateway", is_flag=True, help="The chat gateway asks programs of this machine for no token.")
@click.option("--new-store", is_flag=True, help="Begin with an empty store where it is missing: devices pair again.")
@click.option("--database", metavar="postgresql://…", help="Share that database with other hosts.")
@click.option("--service", type=click.Choice(get_args(ServiceAct)), help="Instead: start it at each login, by systemd.")
@click.option("--die-with-parent", is_flag=True, hidden=True)
@click.option("--while-used", is_flag=True, hidden=True)
def up(
    options: GlobalOptions, port: int | None, link: str | None, open_gateway: bool, database: str | None, **how: Any
) -> None:
    """Run the host in the foreground; Ctrl-C stops it."""
    service = how.pop("service")
    if service is not None:
        manage_service(options, service)
        return
    gc.disable()  # what is made until the host is ready stays: to look through it again and again finds nothing
    settings = options.settings()
    http_port = settings.host.http_port if port is None else port
    link_settings = read_link(link or settings.host.link, http_port=http_port)
    gateway = settings.gateway or (GatewaySettings() if http_port else GatewaySettings(port=0))
    if open_gateway:
        gateway = replace(gateway, open=True)
    cluster = settings.cluster
    if database is not None:
        cluster = replace(cluster, database=read_database(database))
    settings = replace(settings, http_port=http_port, link=link_settings, gateway=gateway, cluster=cluster)
    from microclaw.cli.hosting import run_host

    def ready(facts: dict[str, Any], sign_in: str | None) -> None:
        gc.freeze()
        gc.enable()
        if options.wrote_json("up", {"ready": True, **facts}):
            return
        terminal = options.terminal()
        if facts["ready_s"] is None:
            took = ""
        else:
            took = f" in {facts['ready_s']:.1f} s"
        if facts["gateway_token"]:
            how = f"token in {facts['gateway_token']}"
        else:
            how = "a person's token opens it"
        boards = (f"{one['name']} ({one['title']}, process {one['pid']}, off with the host)" for one in facts["boards"])
        authority = f"own authority, SHA-256 {facts['ca_sha256']}; browsers: microclaw person ca FILE"
        for about, text in (
            ("host", f"ready{took}            api {facts['http'] or 'off'}{link_text(facts['link'])}"),
            ("gateway", facts["gateway"] and f"{facts['gateway']}   {OPEN_GATEWAY if facts['gateway_open'] else how}"),
            *((voice, facts[voice]) for voice in ("xiaozhi", "wyoming")),
            ("model", facts["model"]),
            *(("board", board) for board in boards),
            *(("off", problem) for problem in facts["problems"]),
            ("https", facts["ca_sha256"] and authority),
        ):
            if text:
                terminal.row(about, text)
        if sign_in:
            terminal.row("sign in", "in a browser: once, within 10 minutes; for another link: microclaw status --open")
            terminal.line(sign_in)  # whole, so that it can be copied
        terminal.row("", "Ctrl-C stops it. In another terminal: microclaw chat; in a browser: microclaw status --open")

    try:
        run_host(settings, ready=ready, verbose=options.verbose, **how)
    finally:
        gc.enable()


@command()
@click.option("--cluster", is_flag=True, help="The hosts that share a database with this one.")
@click.option("--usage", "costs", is_flag=True, help="What models cost: requests, tokens and money.")
@click.option("--by", default="day", type=click.Choice(get_args(UsageGroup)), help="With --usage: a line for each.")
@click.option("--days", default=30, type=click.IntRange(1, KEPT_DAYS), help="With --usage: today and the days before.")
@click.option("--open", "link", is_flag=True, help="Print a link that signs a browser in, once.")
@click.option("--person", default="owner", help="With --open: who signs in with it.")
def status(
    options: GlobalOptions, cluster: bool, costs: bool, by: UsageGroup, days: int, link: bool, person: str
) -> None:
    """Show the host's state: model, devices, programs."""
    if link:
        open_page(options, person)
    elif costs:
        show(options, usage, options.host().call(usage, by=by, days=days))
    elif cluster:
        show(options, cluster_status, options.host().call(cluster_status))
    else:
        address = options.address()
        found = options.host().call(read_status)
        if address is not None and not options.json:
            options.terminal().row("at", str(address))
        show(options, read_status, found)


def link_text(address: str | None) -> str:
    """The link's part of the host's line, as in `link wss :8443`."""
    if address is None:
        return ""
    parts = urlsplit(address)
    if parts.hostname in ("127.0.0.1", "::1"):
        place = f":{parts.port}"
    else:
        place = parts.netloc
    return f"   link {parts.scheme} {place}"


@command()
@click.option("--all-tools", is_flag=True, help="Offer the agent's own tools too: web, files, memory.")
def mcp(options: GlobalOptions, all_tools: bool) -> None:
    """Drive the boards from an assistant over MCP.

    It serves a client on stdin and stdout, and starts the host with a virtual board where none runs. Over HTTP the host
    itself serves them, at /mcp of its API, with a token (microclaw person tokens --add NAME).
    """
    settings = options.settings()
    from microclaw.mcp.server.bridge import serve_stdio

    serve_stdio(settings.home, settings.control_socket, every_tool=all_tools)


SHOW_FILE: Final = "microclaw up --service file"
LOGS: Final = "how it is: systemctl --user status microclaw; its log: journalctl --user -u microclaw -f"
COMMAND_S: Final = 30.0
_TMP: Final = "/tmp"  # noqa: S108  where homes with long names may have their control socket
UNIT_NAME: Final = "microclaw.service"
STOP_S: Final = 20


def manage_service(options: GlobalOptions, act: ServiceAct) -> None:
    """Write the service's file and start it, remove it, or print it."""
    if sys.platform != "linux":
        raise NotSupported(f"no service for {sys.platform} from here", next_step="docs/install.md")
    path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user" / UNIT_NAME
    if act == "file":
        options.line(service_unit(options).rstrip("\n"))
        return
    if act == "install":
        text = service_unit(options)
        options.say(f"# {path}\n{text}")
        options.agree("Write and start it?", default=True, hint=f", or {SHOW_FILE}")
        notes = _install(options, path, text)
    elif path.exists():
        stopped = systemctl("disable", "--now", UNIT_NAME)
        path.unlink(missing_ok=True)
        notes = [f"note: {line}" for line in (stopped, systemctl("daemon-reload")) if line is not None]
        notes.insert(0, f"removed {path}; the data in {options.settings().home} stays")
    else:
        raise UnknownName(f"no service is installed ({path})", next_step="microclaw up --service install")
    options.report("service", {"notes": notes}, "\n".join(notes))


def service_unit(options: GlobalOptions) -> str:
    """The unit of the service that runs this very installation with this home."""
    settings = options.settings()
    command = (sys.executable, "-m", "microclaw", "--home", str(settings.home), "up")
    socket = settings.control_socket.parent  # in another place for a home with a long name
    places = [settings.home, settings.cache, *([] if socket == settings.home else [socket])]
    if settings.backup is not None:
        places.append(Path(settings.backup.folder or "").expanduser())
    odd = next((text for text in (*command, *map(str, places)) if not text.isprintable()), None)
    if odd is not None:  # a line of its own in the unit would be a setting of its own
        raise ConfigError(f"{odd!r} cannot stand in a service's file", next_step="give --home a plain folder")
    return systemd_unit(command, places)


def _install(options: GlobalOptions, path: Path, text: str) -> list[str]:
    """Write the file, enable and start the service. Returns lines for the person; the first names the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        reason = f"{path.parent} cannot be made: {exc.strerror}"
        raise ConfigError(reason, next_step=f"{SHOW_FILE}, and put it there") from exc
    write_given(path.resolve(), [text.encode()], replace=True, next_step=f"{SHOW_FILE}, and put it there")
    options.settings().cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [f"wrote {path}"]
    start = f"systemctl --user restart {UNIT_NAME}"
    problem = systemctl("daemon-reload") or systemctl("enable", UNIT_NAME)
    running = None
    with suppress(MicroclawError):
        running = options.host().call(read_status).pid
    if problem is None and running is None:
        problem = systemctl("restart", UNIT_NAME)
    if problem is not None:
        lines += [f"it was not started: {problem}", f"start it where systemd runs for you: {start}"]
    elif running is not None:
        lines.append(f"a host runs already (pid {running}): end it, then {start}")
    else:
        lines.append("it runs, and starts at each login")
    lines.append("to start it at boot, before anybody logs in: loginctl enable-linger")
    return [*lines, LOGS, *_unseen_variables(options)]


def systemctl(*words: str) -> str | None:
    """Tell the user's systemd; None when it went well, else one line why not."""
    command = ["systemctl", "--user", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"systemctl does not answer: {exc}"
    if done.returncode == 0:
        return None
    reason = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
    return f"{' '.join(command[:3])}: {reason}"


def _unseen_variables(options: GlobalOptions) -> list[str]:
    """The settings that config.toml or the present shell has as variables, which the service will not have."""
    bare = {name: os.environ[name] for name in ("HOME", "PATH", "USER") if name in os.environ}
    mistakes = find_mistakes(bare, options.settings().home)
    missing = [f"note: {m.message} that the service gets" for m in mistakes if "environment has no" in m.message]
    known = [*KNOWN_VARIABLES, *(name for pair in VARIABLES.values() for name in pair)]
    here = [name for name in os.environ if name in known or (name.startswith(PREFIX) and "__" in name)]
    names = ", ".join(sorted(here))
    if here:
        told = [f"note: {names}: set in this shell, not for the service; config set keeps a value"]
    else:
        told = []
    return missing + told


def systemd_unit(command: Sequence[str], places: Sequence[Path]) -> str:
    """For `systemctl --user`; the host writes to `places`. In /tmp, a private one would hide them.

    Not in it, as the host needs what they forbid: MemoryDenyWriteExecute (wasm is compiled to machine code),
    RestrictNamespaces and ProtectKernelTunables (the sandbox makes namespaces and mounts /proc), PrivateDevices (boards
    on USB), ProtectHome (the data folder is there; all but ReadWritePaths is read-only anyway).
    """
    in_tmp = any(place.is_relative_to(_TMP) for place in places)
    return f"""\
[Unit]
Description=microclaw host
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=exec
ExecStart={" ".join(_quoted(word).replace("$", "$$") for word in command)}
Restart=on-failure
RestartSec=2
KillMode=mixed
TimeoutStopSec={STOP_S}
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={" ".join(_quoted(f"-{place}") for place in (*places, *([_TMP] if in_tmp else [])))}
PrivateTmp={"no" if in_tmp else "yes"}
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""


def _quoted(word: str) -> str:
    """A word of systemd.service(5), quoted, with `%` doubled; `$` is doubled in ExecStart= alone."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
