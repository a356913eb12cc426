"""`microclaw virtual`: run a virtual board in the foreground."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import typer

from microclaw.cli.board_control import BoardControl
from microclaw.cli.firmware_option import FirmwareOption, firmware_words
from microclaw.cli.joining import join_host, published_keys
from microclaw.cli.options import GlobalOptions, global_options
from microclaw.devices.entry import check_name
from microclaw.durable import make_folders
from microclaw.errors import ConfigError
from microclaw.wire import board_control as control

LINK_S: Final = 15.0
MAX_SECRET_FILE_BYTES: Final = 4_096
LOOK_EVERY_S: Final = 0.1


def virtual(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Option("--name", help="The board's name; virtual-1, with --join board-1.")
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Join the host that runs here, over its link: takes Python programs too.")
    ] = False,
    board: Annotated[str, typer.Option("--board", help="The board's profile.")] = "virtual",
    wasmachine: Annotated[
        int | None,
        typer.Option("--wasmachine", min=0, max=65535, help="TCP port; 0: any. [default: 18080, with --join any]"),
    ] = None,
    serial: Annotated[str, typer.Option("--serial", metavar="PORT|pty|none", help="JSON line console.")] = "pty",
    control: Annotated[Path | None, typer.Option("--control", help="Path of the control socket.")] = None,
    clock: Annotated[
        str, typer.Option("--clock", metavar="real|virtual", help="virtual: it jumps to the next timer.")
    ] = "real",
    network: Annotated[
        bool, typer.Option("--network", help="Let programs' MQTT and HTTP clients reach real servers (--clock real).")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seeds its random numbers.")] = 0,
    flash: Annotated[Path | None, typer.Option("--flash", help="Folder that keeps its flash between runs.")] = None,
    link: Annotated[str | None, typer.Option("--link", metavar="wss://HOST:PORT/link", help="Join that host.")] = None,
    firmware: FirmwareOption = None,
    link_ca_sha256: Annotated[
        str | None, typer.Option("--link-ca-sha256", metavar="HEX", help="Fingerprint of the host's authority.")
    ] = None,
    link_secret_file: Annotated[
        str | None,
        typer.Option("--link-secret-file", metavar="FILE|-", help="One-time secret that pairs it without a code."),
    ] = None,
    update_keys: Annotated[
        Path | None,
        typer.Option("--update-keys", metavar="FILE", help="Public keys whose updates it trusts; --join: the host's."),
    ] = None,
    update_channel: Annotated[
        str | None, typer.Option("--update-channel", metavar="NAME", help="Of its updates. [default: stable]")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="NAME", help="Of the board: updates may be for some alone.")
    ] = None,
) -> None:
    """Run a virtual ESP32-S3; Ctrl-C ends it. It prints its addresses."""
    options = global_options(ctx)
    secret = None
    if join:
        if link is not None:
            raise typer.BadParameter("--join finds the host by itself: leave --link out")
        name = name or "board-1"
        check_name(name)
        folder = flash or options.settings().home / "virtual" / name
        again = f"microclaw virtual --join --name {name}-2"
        joined = join_host(options, name, board, folder, is_ours=flash is None, again=again)
        make_folders(folder)
        link, link_ca_sha256, flash, secret = joined.url, joined.ca_sha256, folder, joined.secret
        link_secret_file = None if secret is None else "-"
        update_keys = update_keys or published_keys(options.host(), folder)
    elif link_secret_file is not None:
        name = _provisioned_name(link_secret_file, name)
    name = name or "virtual-1"
    words = ["--name", name, "--board", board, "--serial", serial]
    if wasmachine is not None or join:  # the host that it joins has it over the link: no port of its own is needed
        words += ["--wasmachine", str(wasmachine or 0)]
    words += ["--clock", clock, "--seed", str(seed)]
    if network:
        words.append("--network")
    if control is not None:
        words += ["--control", str(control.absolute())]
    words += [f"--firmware={word}" for word in firmware_words(firmware)]
    given = {
        "--flash": flash,
        "--link": link,
        "--link-ca-sha256": link_ca_sha256,
        "--link-secret-file": link_secret_file,
        "--update-keys": update_keys,
        "--update-channel": update_channel,
        "--revision": revision,
    }
    for option, value in given.items():
        if value is not None:
            words += [option, str(value.absolute() if isinstance(value, Path) else value)]
    if code := _run_board(options, words, link=link, secret=secret):
        raise typer.Exit(code)


def _provisioned_name(place: str, name: str | None) -> str | None:
    """What the host calls the board that this file's secret lets in. Another --name would name nothing there."""
    if place == "-":  # the board reads it
        return name
    try:
        told = json.loads(Path(place).read_bytes()[:MAX_SECRET_FILE_BYTES])["name"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return name  # the secret alone; what is wrong with it the board says
    if name is not None and name != told:
        text = f"the secret in {place} lets in {told}, and the host will call the board so, not {name}"
        raise ConfigError(text, next_step="leave --name out")
    return str(told)


def _run_board(options: GlobalOptions, words: list[str], *, link: str | None, secret: str | None) -> int:
    """Start the board, show where it is, pass on the wish to end it, and wait for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "microclaw.virtual", *words, "--die-with-parent"],
        stdin=None if secret is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    if secret is not None:
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin:  # one that does not start says why itself
            process.stdin.write(secret.encode("ascii"))
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
        if not options.wrote_json("virtual", facts):
            _show_board(options, facts, link)
    code = process.wait()
    return 0 if stopped and code in (0, -signal.SIGTERM) else abs(code)


def _show_board(options: GlobalOptions, facts: dict[str, Any], link: str | None) -> None:
    terminal = options.terminal()
    serial = facts["pty"] or (f"tcp://127.0.0.1:{facts['serial']}" if facts["serial"] else None)
    terminal.row("board", f"{facts['name']} ({facts['board']}, own process {facts['pid']}) ready; Ctrl-C ends it")
    terminal.row("wasm", f"127.0.0.1:{facts['wasmachine']}")
    if serial:
        terminal.row("serial", str(serial))
    terminal.row("control", str(facts["control"]))
    if link is not None:
        _show_link(options, facts, link)
        return
    parts = [f"--wasmachine 127.0.0.1:{facts['wasmachine']}", f"--virtual {facts['control']}"]
    if serial:
        parts.append(f"--serial {serial}")
    terminal.line("next     microclaw device add " + f"{facts['name']} --board {facts['board']} " + " ".join(parts))


def _show_link(options: GlobalOptions, facts: dict[str, Any], link: str) -> None:
    """How it gets on with its host; a code that somebody has to type is on the board's own console too."""
    terminal = options.terminal()
    with BoardControl(Path(facts["control"])) as board:
        give_up = time.monotonic() + LINK_S
        while (state := board.ask(control.Link())).state != "connected" and state.code is None:
            if time.monotonic() > give_up:
                terminal.row("link", f"not connected to {link} yet: {state.error or state.state}")
                return
            time.sleep(LOOK_EVERY_S)
    terminal.row("link", f"{state.state} {link}" + (f", code {state.code}" if state.code else ""))
    if state.state == "connected":
        terminal.line("next     microclaw device list")
