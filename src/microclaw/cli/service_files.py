"""The files that start the host at login: a systemd user unit, a launchd agent. It writes and starts nothing."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

UNIT_NAME: Final = "microclaw.service"
LABEL: Final = "org.microclaw.host"
STOP_S: Final = 20


@dataclass(frozen=True, slots=True)
class Service:
    """What the file is made of. `writable`: the folders beside the home that the host writes to."""

    command: Sequence[str]
    home: Path
    writable: Sequence[Path]
    shares_tmp: bool = False  # something of these is in /tmp: a private one would hide it


def systemd_unit(service: Service) -> str:
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


def launchd_plist(service: Service) -> str:
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
