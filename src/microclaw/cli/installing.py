"""Streams of the host shown as they come: an install, a removal, an undo. The work itself is the host's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from microclaw.cli.approving import ask_at
from microclaw.cli.host_client import HostClient, HostError, segment
from microclaw.cli.invocation import Invocation
from microclaw.cli.program_file import WASM_MAGIC, read_program, source_text
from microclaw.errors import ConfigError, NoHost, ProtocolError
from microclaw.events import ApprovalAsked, ApprovalSettled, Step
from microclaw.web.stream import Failure, Result, StreamEvent


def install_file(
    options: Invocation, file: Path, *, name: str | None, heap_bytes: int, optimization: str, replace: bool
) -> None:
    """Send a file to the host, show its stages, print what was made."""
    content = read_program(file)
    body: dict[str, Any] = {
        "name": name or file.stem,
        "heap_bytes": heap_bytes,
        "optimization": optimization,
        "replace": replace,
    }
    if content.startswith(WASM_MAGIC):
        body["wasm"] = base64.b64encode(content).decode()
    else:
        body["source"] = source_text(content, file)
    host = options.host()
    device = chosen_device(options, host)
    made = follow(options, host, host.stream(f"/v1/devices/{segment(device)}/apps", body))
    if options.json:
        options.document("deployment", made)


def chosen_device(options: Invocation, host: HostClient) -> str:
    """The device of -d, else the only one there is."""
    if options.device:
        return options.device
    names = [str(d["name"]) for d in host.get("/v1/devices")["devices"]]
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError("this host knows no device", next_step="microclaw device add NAME --wasmachine HOST:PORT")
    raise ConfigError(f"which device? there are {len(names)}", next_step=f"give -d {' or -d '.join(sorted(names)[:5])}")


def follow(options: Invocation, host: HostClient, events: Iterator[StreamEvent]) -> dict[str, Any]:
    """Show the steps of a stream, ask what it waits for, and return its result; a failed one raises."""
    terminal = options.terminal()
    for event in events:
        match event:
            case Step():
                if not options.quiet and not options.json:
                    terminal.step(event)
            case ApprovalAsked():
                ask_at(options, host, event)
            case ApprovalSettled():
                terminal.event(event)
            case Result(value):
                return value
            case Failure():
                raise HostError(event)
            case _:
                raise ProtocolError("the host answered where a result was expected")
    raise NoHost("the host ended the stream without a result", next_step="microclaw status")
