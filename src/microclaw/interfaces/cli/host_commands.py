"""`microclaw up`, `status` and `mcp`: run the host in the foreground or by systemd, show its state, serve MCP."""

from __future__ import annotations

import gc
import json
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

from microclaw.agent.models.operations import usage
from microclaw.durable import write_given
from microclaw.errors import ConfigError, MicroclawError, NotSupported, UnknownName
from microclaw.host.cluster.operations import status as cluster_status
from microclaw.host.config.load import VARIABLES, find_mistakes, read_database, read_link
from microclaw.host.config.settings import GatewaySettings, Settings
from microclaw.host.config.sources import KNOWN_VARIABLES, PREFIX
from microclaw.host.store.usage import KEPT_DAYS, UsageGroup
from microclaw.interfaces.api.operations import read_status
from microclaw.interfaces.cli.operation_commands import show
from microclaw.interfaces.cli.options import GlobalOptions, command
from microclaw.interfaces.cli.sign_in_commands import open_page
from microclaw.interfaces.cli.status_document import read_full_status
from microclaw.interfaces.terminal.page import Terminal

ServiceAct: TypeAlias = Literal["install", "remove", "file"]
OPEN_GATEWAY: Final = "open: every program of this machine is the owner there"
SHOW_FILE: Final = "microclaw up --service file"
LOGS: Final = "its state: systemctl --user status microclaw; its log: journalctl --user -u microclaw -f"
COMMAND_S: Final = 30.0
# The control socket of a home with a long name may be there.
_TMP: Final = "/tmp"  # noqa: S108
UNIT_NAME: Final = "microclaw.service"
STOP_S: Final = 20
_Row: TypeAlias = tuple[str, str | None]


@command()
@click.option("--virtual", "virtual_boards", default=0, type=click.IntRange(0, 16), help="Start N virtual boards.")
@click.option("--port", type=click.IntRange(0, 65535), help="The API's port, 8080 by default; 0 takes any.")
@click.option("--link", metavar="HOST:PORT|off", help="Where devices connect; 127.0.0.1:8443 by default.")
@click.option("--open-gateway", is_flag=True, help="The chat gateway asks programs of this machine for no token.")
@click.option("--new-store", is_flag=True, help="Begin with an empty store if it is missing: devices pair again.")
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
    # The objects that exist when the host is ready stay: to collect garbage before finds nothing and takes time.
    gc.disable()
    settings = _apply_options(options.settings(), port, link, open_gateway=open_gateway, database=database)
    assert options.load_host is not None, "the entry point hands it in"
    running_host = options.load_host()
    from microclaw.interfaces.cli.host_process import run_host

    def ready(facts: dict[str, Any], sign_in: str | None) -> None:
        gc.freeze()
        gc.enable()
        if not options.wrote_json("up", {"ready": True, **facts}):
            _show_ready(options.terminal(), facts, sign_in)

    try:
        run_host(settings, running_host, ready=ready, verbose=options.verbose, **how)
    finally:
        gc.enable()


def _apply_options(
    settings: Settings, port: int | None, link: str | None, *, open_gateway: bool, database: str | None
) -> Settings:
    """Return the settings with the options of `up` in place of the configured values."""
    http_port = settings.host.http_port if port is None else port
    link_settings = read_link(link or settings.host.link, http_port=http_port)
    gateway = settings.gateway
    if gateway is None:
        gateway = GatewaySettings() if http_port else GatewaySettings(port=0)
    if open_gateway:
        gateway = replace(gateway, open=True)
    cluster = settings.cluster
    if database is not None:
        cluster = replace(cluster, database=read_database(database))
    return replace(settings, http_port=http_port, link=link_settings, gateway=gateway, cluster=cluster)


def _show_ready(terminal: Terminal, facts: dict[str, Any], sign_in: str | None) -> None:
    """Print the addresses of a host that is ready, and the link that signs in, if there is one."""
    for title, text in _ready_rows(facts):
        if text:
            terminal.row(title, text)
    if sign_in:
        terminal.row("sign in", "in a browser: once, within 10 minutes; for another link: microclaw status --open")
        # A whole line, so that the link can be copied.
        terminal.line(sign_in)
    terminal.row("", "Ctrl-C stops it. In another terminal: microclaw chat; in a browser: microclaw status --open")


def _ready_rows(facts: dict[str, Any]) -> list[_Row]:
    """Return titles and texts; rows without a text are not shown."""
    duration = "" if facts["ready_s"] is None else f" in {facts['ready_s']:.1f} s"
    rows: list[_Row] = [
        ("host", f"ready{duration}            api {facts['http'] or 'off'}{link_text(facts['link'])}"),
        ("gateway", _gateway_text(facts)),
        ("xiaozhi", facts.get("xiaozhi")),
        ("wyoming", facts.get("wyoming")),
        ("model", facts["model"]),
    ]
    for board in facts["boards"]:
        rows.append(("board", f"{board['name']} ({board['title']}, process {board['pid']}, off with the host)"))
    for problem in facts["problems"]:
        rows.append(("off", problem))
    if facts["ca_sha256"]:
        rows.append(("https", f"own authority, SHA-256 {facts['ca_sha256']}; browsers: microclaw person ca FILE"))
    return rows


def _gateway_text(facts: dict[str, Any]) -> str | None:
    """Return the gateway's address and who may use it, or None if it is off."""
    if not facts.get("gateway"):
        return None
    access = "a person's token opens it"
    if facts["gateway_open"]:
        access = OPEN_GATEWAY
    elif facts["gateway_token"]:
        access = f"token in {facts['gateway_token']}"
    return f"{facts['gateway']}   {access}"


@command()
@click.option("--cluster", is_flag=True, help="The hosts that share a database with this one.")
@click.option("--usage", "costs", is_flag=True, help="What models cost: requests, tokens and money.")
@click.option("--by", default="day", type=click.Choice(get_args(UsageGroup)), help="With --usage: a line for each.")
@click.option("--days", default=30, type=click.IntRange(1, KEPT_DAYS), help="With --usage: today and the days before.")
@click.option("--open", "link", is_flag=True, help="Print a link that signs a browser in, once.")
@click.option("--person", default="owner", help="With --open: who signs in with it.")
def status(
    options: GlobalOptions, *, cluster: bool, costs: bool, by: UsageGroup, days: int, link: bool, person: str
) -> None:
    """Show the host's state: model, devices, programs."""
    if options.chooses_many or options.device is not None:
        text = "status is about the whole host, not about chosen devices"
        raise ConfigError(text, next_step="microclaw device show NAME, or microclaw device list with -d, -l or --all")
    if link:
        open_page(options, person)
    elif costs:
        show(options, usage, options.host().call(usage, by=by, days=days))
    elif cluster:
        show(options, cluster_status, options.host().call(cluster_status))
    else:
        address = options.address()
        result = read_full_status(options.host())
        if address is not None and not options.json:
            options.terminal().row("at", str(address))
        show(options, read_status, result)


def link_text(address: str | None) -> str:
    """Return the link's part of the host's line, as `link wss :8443`, or "" if the link is off."""
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
@click.option("--print-config", is_flag=True, help="Print the entry for an assistant's settings file, and end.")
def mcp(options: GlobalOptions, all_tools: bool, print_config: bool) -> None:
    """Drive the boards from an assistant over MCP.

    It serves a client on stdin and stdout, and starts the host with a virtual board where none runs. Over HTTP the host
    itself serves them, at /mcp of its API, with a token (microclaw person tokens --add NAME).
    """
    settings = options.settings()
    if print_config:
        options.line(json.dumps(_mcp_config(settings.home, all_tools=all_tools), indent=2))
        return
    from microclaw.interfaces.mcp.server.bridge import serve_stdio

    serve_stdio(settings.home, settings.control_socket, every_tool=all_tools)


def _mcp_config(home: Path, *, all_tools: bool) -> dict[str, Any]:
    """Return what an assistant's settings file needs to start this installation with this home."""
    arguments = ["-m", "microclaw", "--home", str(home), "mcp"]
    if all_tools:
        arguments.append("--all-tools")
    return {"mcpServers": {"microclaw": {"command": sys.executable, "args": arguments}}}


def manage_service(options: GlobalOptions, act: ServiceAct) -> None:
    """Write the service's file and start it, remove it, or print it."""
    if sys.platform != "linux":
        raise NotSupported(f"no service for {sys.platform} from here", next_step="docs/install.md")
    if act == "file":
        options.line(service_unit(options).rstrip("\n"))
        return
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = config / "systemd" / "user" / UNIT_NAME
    if act == "install":
        text = service_unit(options)
        options.say(f"# {path}\n{text}")
        options.agree("Write and start it?", default=True, hint=f", or {SHOW_FILE}")
        notes = _install(options, path, text)
    else:
        notes = _remove(options, path)
    options.report("service", {"notes": notes}, "\n".join(notes))


def _remove(options: GlobalOptions, path: Path) -> list[str]:
    """Stop the service and remove its file. Return lines for the user."""
    if not path.exists():
        raise UnknownName(f"no service is installed ({path})", next_step="microclaw up --service install")
    stop_problem = systemctl("disable", "--now", UNIT_NAME)
    path.unlink(missing_ok=True)
    notes = [f"removed {path}; the data in {options.settings().home} stays"]
    for problem in (stop_problem, systemctl("daemon-reload")):
        if problem is not None:
            notes.append(f"note: {problem}")
    return notes


def service_unit(options: GlobalOptions) -> str:
    """Return the systemd unit that runs this installation with this home. Raises ConfigError for unprintable paths."""
    settings = options.settings()
    command = (sys.executable, "-m", "microclaw", "--home", str(settings.home), "up")
    folders = [settings.home, settings.cache]
    # The socket of a home with a long name is in another folder.
    socket_folder = settings.control_socket.parent
    if socket_folder != settings.home:
        folders.append(socket_folder)
    if settings.backup is not None:
        folders.append(Path(settings.backup.folder or "").expanduser())
    for text in (*command, *map(str, folders)):
        # A line end in a path would add a setting of its own to the unit.
        if not text.isprintable():
            raise ConfigError(f"{text!r} cannot stand in a service's file", next_step="give --home a plain folder")
    return systemd_unit(command, folders)


def _install(options: GlobalOptions, path: Path, text: str) -> list[str]:
    """Write the file, enable and start the service. Return lines for the user; the first one names the file."""
    step = f"{SHOW_FILE}, and put it there"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{path.parent} cannot be made: {exc.strerror}", next_step=step) from exc
    write_given(path.resolve(), [text.encode()], replace=True, next_step=step)
    options.settings().cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    problem = systemctl("daemon-reload") or systemctl("enable", UNIT_NAME)
    running_pid = None
    with suppress(MicroclawError):
        running_pid = options.host().call(read_status).pid
    if problem is None and running_pid is None:
        problem = systemctl("restart", UNIT_NAME)
    start = f"systemctl --user restart {UNIT_NAME}"
    lines = [f"wrote {path}"]
    if problem is not None:
        lines += [f"it was not started: {problem}", f"start it where systemd runs for you: {start}"]
    elif running_pid is not None:
        lines.append(f"a host runs already (pid {running_pid}): end it, then {start}")
    else:
        lines.append("it runs, and starts at each login")
    lines.append("to start it at boot, before any login: loginctl enable-linger")
    return [*lines, LOGS, *_unseen_variables(options)]


def systemctl(*words: str) -> str | None:
    """Run systemctl for the user's systemd. Return None if it succeeded, else one line why not."""
    command = ["systemctl", "--user", *words]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"systemctl does not answer: {exc}"
    if result.returncode == 0:
        return None
    output = result.stderr.strip() or result.stdout.strip() or f"exit code {result.returncode}"
    reason = output.splitlines()[0]
    return f"{' '.join(command[:3])}: {reason}"


def _unseen_variables(options: GlobalOptions) -> list[str]:
    """Return notes about variables that config.toml names or this shell has, but that the service will not have."""
    service_environ = {name: os.environ[name] for name in ("HOME", "PATH", "USER") if name in os.environ}
    notes = []
    for mistake in find_mistakes(service_environ, options.settings().home):
        if "environment has no" in mistake.message:
            notes.append(f"note: {mistake.message} that the service gets")
    names = sorted(name for name in os.environ if _is_setting(name))
    if names:
        shown = ", ".join(names)
        notes.append(f"note: {shown}: set in this shell, not for the service; config set keeps a value")
    return notes


def _is_setting(variable: str) -> bool:
    """Return True if the host reads an environment variable as a setting."""
    if variable.startswith(PREFIX) and "__" in variable:
        return True
    return variable in KNOWN_VARIABLES or any(variable in pair for pair in VARIABLES.values())


def systemd_unit(command: Sequence[str], places: Sequence[Path]) -> str:
    """Return a unit for `systemctl --user`, whose process may write only to `places`.

    A place in /tmp needs the shared /tmp, because a private one would hide it. Not in the unit, because the host needs
    what they forbid: MemoryDenyWriteExecute (wasm is compiled to machine code), RestrictNamespaces and
    ProtectKernelTunables (the sandbox makes namespaces and mounts /proc), PrivateDevices (boards on USB), ProtectHome
    (the data folder is there; all but ReadWritePaths is read-only anyway).
    """
    is_in_tmp = any(place.is_relative_to(_TMP) for place in places)
    private_tmp = "no" if is_in_tmp else "yes"
    start_words = [_quote(word).replace("$", "$$") for word in command]
    writable = [_quote(f"-{place}") for place in places]
    if is_in_tmp:
        writable.append(_quote(f"-{_TMP}"))
    return f"""\
[Unit]
Description=microclaw host
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=exec
ExecStart={" ".join(start_words)}
Restart=on-failure
RestartSec=2
KillMode=mixed
TimeoutStopSec={STOP_S}
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={" ".join(writable)}
PrivateTmp={private_tmp}
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""


def _quote(word: str) -> str:
    """Return a quoted word of systemd.service(5) with `%` doubled. In ExecStart= the caller doubles `$`, too."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
