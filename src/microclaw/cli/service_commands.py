"""`microclaw up --service`: the host started at login by systemd or launchd, and the files that do it."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

from click.exceptions import Exit
from msgspec import Struct

from microclaw.api.operations import read_status
from microclaw.cli.options import FAILED, GlobalOptions
from microclaw.config.load import VARIABLES, find_mistakes
from microclaw.config.sources import KNOWN_VARIABLES, PREFIX
from microclaw.durable import write_given
from microclaw.errors import ConfigError, MicroclawError, NotSupported, UnknownName

SHOW_FILE: Final = "microclaw up --service file"
COMMAND_S: Final = 30.0
_TMP: Final = "/tmp"  # noqa: S108  where homes with long names may have their control socket
UNIT_NAME: Final = "microclaw.service"
LABEL: Final = "org.microclaw.host"
STOP_S: Final = 20


ServiceAct: TypeAlias = Literal["install", "remove", "status", "file"]


def service(options: GlobalOptions, act: ServiceAct) -> None:
    """Write the service's file and start it, remove it, say whether it runs (exit code 1 when not), or print it."""
    system = service_manager()
    match act:
        case "file":
            options.line(system.text(service_of(options)).rstrip("\n"))
        case "install":
            text = system.text(service_of(options))
            options.say(f"# {system.path}\n{text}")
            options.agree("Write and start it?", default=True, hint=f", or {SHOW_FILE}")
            _report(options, _install(options, system, text))
        case "remove":
            if not system.path.exists():
                step = "microclaw up --service install"
                raise UnknownName(f"no service is installed ({system.path})", next_step=step)
            ran = [run(command) for command in system.stop]
            system.path.unlink(missing_ok=True)
            notes = [f"note: {line}" for line in (*ran, *map(run, system.reload)) if line is not None]
            _report(options, [f"removed {system.path}; the data in {options.settings().home} stays", *notes])
        case "status":
            installed = system.path.exists()
            problem = run(system.check) if installed else "not installed: microclaw up --service install"
            facts = {"installed": installed, "running": problem is None, "file": str(system.path)}
            if not options.wrote_json("service", facts):
                options.line(problem or "runs")
                options.say(f"its log: {system.logs}")
            if problem is not None:
                raise Exit(FAILED)


class ServiceManager(Struct, frozen=True):
    """systemd or launchd: the service's file, and the commands that activate it."""

    kind: str
    path: Path
    reload: tuple[tuple[str, ...], ...]
    enable: tuple[str, ...]
    start: tuple[str, ...]
    stop: tuple[tuple[str, ...], ...]
    check: tuple[str, ...]
    logs: str

    def text(self, service: ServiceSpec) -> str:
        return systemd_unit(service) if self.kind == "systemd" else launchd_plist(service)


def service_manager(platform: str = sys.platform, environ: Mapping[str, str] = os.environ) -> ServiceManager:
    """Raises NotSupported where there is neither systemd nor launchd."""
    home = Path(environ.get("HOME") or Path.home())
    if platform == "darwin":
        path = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        domain = f"gui/{os.getuid()}"
        return ServiceManager(
            "launchd",
            path,
            reload=(),
            enable=("launchctl", "enable", f"{domain}/{LABEL}"),
            start=("launchctl", "bootstrap", domain, str(path)),
            stop=(("launchctl", "bootout", f"{domain}/{LABEL}"),),
            check=("launchctl", "print", f"{domain}/{LABEL}"),
            logs="microclaw.log in the host's data folder",
        )
    if platform != "linux":
        raise NotSupported(f"no service for {platform}", next_step="start microclaw up by the system's own means")
    base = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    user = ("systemctl", "--user")
    return ServiceManager(
        "systemd",
        base / "systemd" / "user" / UNIT_NAME,
        reload=((*user, "daemon-reload"),),
        enable=(*user, "enable", UNIT_NAME),
        start=(*user, "restart", UNIT_NAME),
        stop=((*user, "disable", "--now", UNIT_NAME),),
        check=(*user, "is-active", UNIT_NAME),
        logs=f"journalctl --user -u {UNIT_NAME.removesuffix('.service')} -f",
    )


def service_of(options: GlobalOptions) -> ServiceSpec:
    """The service that runs this very installation with this home."""
    settings = options.settings()
    command = (sys.executable, "-m", "microclaw", "--home", str(settings.home), "up")
    writable = [settings.cache]
    if settings.backup is not None:
        writable.append(Path(settings.backup.folder or "").expanduser())
    socket = settings.control_socket.parent
    if socket != settings.home:  # a home with a long name
        writable.append(socket)
    odd = next((text for text in (*command, *map(str, writable)) if not text.isprintable()), None)
    if odd is not None:  # a line of its own in the unit would be a setting of its own
        raise ConfigError(f"{odd!r} cannot stand in a service's file", next_step="give --home a plain folder")
    in_tmp = any(place.is_relative_to(_TMP) for place in (settings.home, *writable))
    return ServiceSpec(command, settings.home, writable, shares_tmp=in_tmp)


def _install(options: GlobalOptions, system: ServiceManager, text: str) -> list[str]:
    """Write the file, enable and start the service. Returns lines for the person; the first names the file."""
    try:
        system.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        text = f"{system.path.parent} cannot be made: {exc.strerror}"
        raise ConfigError(text, next_step=f"{SHOW_FILE}, and put it there") from exc
    write_given(system.path.resolve(), [text.encode()], replace=True, next_step="free space there")
    options.settings().cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [f"wrote {system.path}"]
    problem = next((p for command in (*system.reload, system.enable) if (p := run(command)) is not None), None)
    running = None
    with suppress(MicroclawError):
        running = options.host().call(read_status).pid
    if problem is None and running is None:
        problem = run(system.start)
    if problem is not None:
        lines.append(f"it was not started: {problem}")
        lines.append(f"start it where {system.kind} runs for you: {' '.join(system.start)}")
    elif running is not None:
        lines.append(f"a host runs already (pid {running}): end it, then {' '.join(system.start)}")
    else:
        lines.append("it runs, and starts at each login")
    if system.kind == "systemd":
        lines.append("to start it at boot, before anybody logs in: loginctl enable-linger")
    return [*lines, f"its log: {system.logs}", *_unseen_variables(options)]


def _report(options: GlobalOptions, lines: list[str]) -> None:
    options.report("service", {"notes": lines}, "\n".join(lines))


def run(command: tuple[str, ...]) -> str | None:
    """Run one of the system's commands; None when it went well, else one line why not."""
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not here"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"{command[0]} does not answer: {exc}"
    if done.returncode == 0:
        return None
    reason = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
    return f"{' '.join(command[:3])}: {reason}"


def _unseen_variables(options: GlobalOptions) -> list[str]:
    """The settings that config.toml or the present shell has as variables, which the service will not have."""
    bare = {name: os.environ[name] for name in ("HOME", "PATH", "USER") if name in os.environ}
    mistakes = find_mistakes(bare, options.settings().home)
    missing = [f"{m.message} that the service gets" for m in mistakes if "environment has no" in m.message]
    known = [*KNOWN_VARIABLES, *(name for pair in VARIABLES.values() for name in pair)]
    here = [name for name in os.environ if name in known or (name.startswith(PREFIX) and "__" in name)]
    if here:
        missing.append(f"{', '.join(sorted(here))}: set in this shell, not for the service; config set keeps a value")
    return [f"note: {line}" for line in missing]


class ServiceSpec(Struct, frozen=True):
    """The content of the service's file. `writable`: folders outside the home that the host writes to."""

    command: Sequence[str]
    home: Path
    writable: Sequence[Path]
    shares_tmp: bool = False  # something of these is in /tmp: a private one would hide it


def systemd_unit(service: ServiceSpec) -> str:
    """For `systemctl --user`.

    Not in it, as the host needs what they forbid: MemoryDenyWriteExecute (wasm is compiled to machine code),
    RestrictNamespaces and ProtectKernelTunables (the sandbox makes namespaces and mounts /proc), PrivateDevices (boards
    on USB), ProtectHome (the data folder is there; all but ReadWritePaths is read-only anyway).
    """
    places = [service.home, *service.writable, *([Path("/tmp")] if service.shares_tmp else [])]  # noqa: S108  its socket
    return f"""\
[Unit]
Description=microclaw host
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=exec
ExecStart={" ".join(_quoted(word) for word in service.command)}
Restart=on-failure
RestartSec=2
KillMode=mixed
TimeoutStopSec={STOP_S}
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={" ".join(_path(place) for place in places)}
PrivateTmp={"no" if service.shares_tmp else "yes"}
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""


def launchd_plist(service: ServiceSpec) -> str:
    """For `launchctl bootstrap gui/UID`."""
    agent = {
        "Label": LABEL,
        "ProgramArguments": list(service.command),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": STOP_S,
        "Umask": 0o077,
        "ProcessType": "Background",
        "StandardErrorPath": str(service.home / "service.log"),
    }
    return plistlib.dumps(agent, sort_keys=False).decode()


def _quoted(word: str) -> str:
    """A word of ExecStart= (systemd.service(5)): quoted, with `%` and `$` doubled."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


def _path(place: Path) -> str:
    """A path of ReadWritePaths=; `-`: one that is not there yet is no error."""
    text = str(place).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"-{text}"'
