"""`microclaw virtual`: a virtual board in the foreground, a process of its own. Registers nothing with a host."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from microclaw.cli.invocation import Invocation, invocation


def register(app: typer.Typer) -> None:
    app.command()(virtual)


def virtual(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", help="The board's name.")] = "virtual-1",
    board: Annotated[str, typer.Option("--board", help="The board's profile.")] = "virtual",
    wasmachine: Annotated[int, typer.Option("--wasmachine", min=0, max=65535, help="TCP port; 0 takes any.")] = 18080,
    serial: Annotated[str, typer.Option("--serial", metavar="PORT|pty|none", help="JSON line door.")] = "pty",
    control: Annotated[Path | None, typer.Option("--control", help="Path of the control socket.")] = None,
    clock: Annotated[str, typer.Option("--clock", metavar="real|virtual")] = "real",
    mode: Annotated[
        str, typer.Option("--mode", metavar="stock|kind", help="stock has the real one's habits.")
    ] = "stock",
    generation: Annotated[str, typer.Option("--generation", metavar="new|old", help="Attribute types.")] = "new",
    seed: Annotated[int, typer.Option("--seed", help="Seeds its random numbers.")] = 0,
    flash: Annotated[Path | None, typer.Option("--flash", help="Folder that keeps its flash between runs.")] = None,
    link: Annotated[str | None, typer.Option("--link", metavar="wss://HOST:PORT/link", help="Join that host.")] = None,
    link_ca_sha256: Annotated[
        str | None, typer.Option("--link-ca-sha256", metavar="HEX", help="Fingerprint of the host's authority.")
    ] = None,
    link_secret: Annotated[
        str | None, typer.Option("--link-secret", help="One-time secret that pairs it without a code.")
    ] = None,
) -> None:
    """Run a virtual ESP32-S3 in the foreground and print its addresses; Ctrl-C ends it."""
    options = invocation(ctx)
    words = ["--name", name, "--board", board, "--wasmachine", str(wasmachine), "--serial", serial]
    words += ["--clock", clock, "--mode", mode, "--generation", generation, "--seed", str(seed)]
    if control is not None:
        words += ["--control", str(control.absolute())]
    given = {"--flash": flash, "--link": link, "--link-ca-sha256": link_ca_sha256, "--link-secret": link_secret}
    for option, value in given.items():
        if value is not None:
            words += [option, str(value.absolute() if isinstance(value, Path) else value)]
    code = _run(options, words)
    if code:
        raise typer.Exit(code)


def _run(options: Invocation, words: list[str]) -> int:
    """Start the board, show where it is, pass on the wish to end it, and wait for it."""
    import json
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, "-m", "microclaw.virtual", *words], stdout=subprocess.PIPE, start_new_session=True
    )
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        process.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    assert process.stdout is not None
    line = process.stdout.readline()
    if line:
        facts = json.loads(line)
        if options.json:
            options.document("virtual", facts)
        else:
            _show(options, facts)
    code = process.wait()
    return 0 if stopped and code in (0, -signal.SIGTERM) else abs(code)


def _show(options: Invocation, facts: dict[str, object]) -> None:
    terminal = options.terminal()
    serial = facts["pty"] or (f"tcp://127.0.0.1:{facts['serial']}" if facts["serial"] else None)
    terminal.row("board", f"{facts['name']} ({facts['board']}, own process {facts['pid']}) ready; Ctrl-C ends it")
    terminal.row("wasm", f"127.0.0.1:{facts['wasmachine']}")
    if serial:
        terminal.row("serial", str(serial))
    terminal.row("control", str(facts["control"]))
    parts = [f"--wasmachine 127.0.0.1:{facts['wasmachine']}", f"--virtual {facts['control']}"]
    if serial:
        parts.append(f"--serial {serial}")
    terminal.line("next     microclaw device add " + f"{facts['name']} --board {facts['board']} " + " ".join(parts))
