"""`microclaw up --service`: the host started at login by systemd, and the file that does it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
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
LOGS: Final = "its log: journalctl --user -u microclaw -f"
COMMAND_S: Final = 30.0
_TMP: Final = "/tmp"  # noqa: S108  where homes with long names may have their control socket
UNIT_NAME: Final = "microclaw.service"
STOP_S: Final = 20


ServiceAct: TypeAlias = Literal["install", "remove", "status", "file"]


def service(options: GlobalOptions, act: ServiceAct) -> None:
    """Write the service's file and start it, remove it, say whether it runs (exit code 1 when not), or print it."""
    if sys.platform != "linux":
        raise NotSupported(f"no service for {sys.platform} from here", next_step="docs/install.md")
    path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user" / UNIT_NAME
    match act:
        case "file":
            options.line(systemd_unit(service_of(options)).rstrip("\n"))
        case "install":
            text = systemd_unit(service_of(options))
            options.say(f"# {path}\n{text}")
            options.agree("Write and start it?", default=True, hint=f", or {SHOW_FILE}")
            _report(options, _install(options, path, text))
        case "remove":
            if not path.exists():
                raise UnknownName(f"no service is installed ({path})", next_step="microclaw up --service install")
            stopped = systemctl("disable", "--now", UNIT_NAME)
            path.unlink(missing_ok=True)
            notes = [f"note: {line}" for line in (stopped, systemctl("daemon-reload")) if line is not None]
            _report(options, [f"removed {path}; the data in {options.settings().home} stays", *notes])
        case "status":
            installed = path.exists()
            problem = (
                systemctl("is-active", UNIT_NAME) if installed else "not installed: microclaw up --service install"
            )
            facts = {"installed": installed, "running": problem is None, "file": str(path)}
            if not options.wrote_json("service", facts):
                options.line(problem or "runs")
                options.say(LOGS)
            if problem is not None:
                raise Exit(FAILED)


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


def _install(options: GlobalOptions, path: Path, text: str) -> list[str]:
    """Write the file, enable and start the service. Returns lines for the person; the first names the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        text = f"{path.parent} cannot be made: {exc.strerror}"
        raise ConfigError(text, next_step=f"{SHOW_FILE}, and put it there") from exc
    write_given(path.resolve(), [text.encode()], replace=True, next_step="free space there")
    options.settings().cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines, start = [f"wrote {path}"], f"systemctl --user restart {UNIT_NAME}"
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


def _report(options: GlobalOptions, lines: list[str]) -> None:
    options.report("service", {"notes": lines}, "\n".join(lines))


def systemctl(*words: str) -> str | None:
    """Tell the user's systemd; None when it went well, else one line why not."""
    command = ["systemctl", "--user", *words]
    if shutil.which(command[0]) is None:
        return "systemctl is not here"
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


def _quoted(word: str) -> str:
    """A word of ExecStart= (systemd.service(5)): quoted, with `%` and `$` doubled."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


def _path(place: Path) -> str:
    """A path of ReadWritePaths=; `-`: one that is not there yet is no error."""
    text = str(place).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"-{text}"'
