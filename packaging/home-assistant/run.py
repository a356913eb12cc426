"""Starts the host in the Home Assistant add-on with the add-on's options, and sets the owner's password.

Options of the person are `KEY=VALUE` settings of docs/configuration.md; each becomes a variable of the host's.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

DATA: Final = Path("/data")
READY_S: Final = 120.0
POLL_S: Final = 0.2
KEYS: Final = {
    "anthropic_api_key": "ANTHROPIC_API_KEY",
    "openai_api_key": "OPENAI_API_KEY",
    "openai_base_url": "OPENAI_BASE_URL",
}
# The gateway of Home Assistant's own network: only the Supervisor and other add-ons reach it.
DOOR: Final = "172.30.32.1:8099"
_SETTING: Final = re.compile(r"([a-z_]+)\.([a-z_]+)=(.*)", re.DOTALL)


def variables(options: Mapping[str, Any], data: Path) -> dict[str, str]:
    """Return the host's environment. Raises SystemExit for a setting that is not KEY=VALUE."""
    found = {
        "HOME": str(data),
        "MICROCLAW_HOME": str(data / "home"),
        "MICROCLAW_CACHE": str(data / "cache"),
        "MICROCLAW_HOST__HTTP_PORT": "0",  # the pages come through ingress; the usual port may be taken on this machine
        "MICROCLAW_HOST__LINK": "0.0.0.0:8443",
        "MICROCLAW_HOST__INGRESS": DOOR,
    }
    found |= {name: str(options[key]) for key, name in KEYS.items() if options.get(key)}
    for text in options.get("settings") or ():
        match = _SETTING.fullmatch(text)
        if match is None:
            raise SystemExit(
                f"settings: {text.partition('=')[0][:40]!r} is not section.key=value, as in mqtt.user=claw"
            )
        found[f"MICROCLAW_{match[1].upper()}__{match[2].upper()}"] = match[3]
    return found


def run(options: Mapping[str, Any], data: Path, command: Sequence[str]) -> int:
    """Run the host and return its exit code; SIGTERM and SIGINT are passed on to it."""
    environ = {**os.environ, **variables(options, data)}
    with subprocess.Popen([*command, "up"], env=environ, stdin=subprocess.DEVNULL) as host:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: host.send_signal(number))
        password = options.get("owner_password")
        if password:
            _set_password(command, environ, str(password), host)
        else:
            print("owner_password is not set: nobody can sign in. Set it in the add-on's configuration.", flush=True)
        return host.wait()


def _set_password(
    command: Sequence[str], environ: Mapping[str, str], password: str, host: subprocess.Popen[bytes]
) -> None:
    """Once the host answers. What goes wrong is printed; the host goes on."""
    deadline = time.monotonic() + READY_S
    while host.poll() is None and time.monotonic() < deadline:
        asked = [*command, "status", "--json"]
        if subprocess.run(asked, env=environ, capture_output=True, check=False).returncode == 0:
            words = [*command, "person", "password", "owner"]
            done = subprocess.run(words, env=environ, input=password.encode() + b"\n", capture_output=True, check=False)
            print((done.stdout + done.stderr).decode(errors="replace").strip(), flush=True)
            return
        time.sleep(POLL_S)
    code = host.poll()
    reason = f"the host did not answer within {READY_S:.0f} s" if code is None else f"the host ended with code {code}"
    print(f"{reason}: the password was not set", flush=True)


if __name__ == "__main__":
    sys.exit(run(json.loads((DATA / "options.json").read_text()), DATA, ["microclaw"]))
