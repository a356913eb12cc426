"""`microclaw virtual`: run a virtual board in the foreground."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
from click.exceptions import Exit

from microclaw.cli.child import BoardControl
from microclaw.cli.many_devices import known_devices
from microclaw.cli.options import GlobalOptions, command
from microclaw.cli.program_files import firmware_option, firmware_words
from microclaw.devices.entry import check_name
from microclaw.devices.transport import LINK_SCHEME
from microclaw.durable import make_folders, replace_file
from microclaw.errors import ConfigError
from microclaw.link_client.identity import CREDENTIAL_FILE, named_device
from microclaw.link_server.device_facts import ListedDevice
from microclaw.link_server.operations import Provisioned, provision
from microclaw.operations.client import Client
from microclaw.ota.manifest import MAX_KEYS
from microclaw.ota.operations import list_keys
from microclaw.wire import board_control as control

LINK_S: Final = 15.0
LOOK_EVERY_S: Final = 0.1


@command()
@click.option("--name", help="The board's name; virtual-1, with --join board-1.")
@click.option("--join", is_flag=True, help="Join the host that runs here, over its link: takes Python programs too.")
@click.option("--board", default="virtual", help="The board's profile.")
@click.option("--wasmachine", type=click.IntRange(0, 65535), help="TCP port; 0: any. [default: 18080, with --join any]")
@click.option("--serial", default="pty", metavar="PORT|pty|none", help="JSON line console.")
@click.option("--clock", default="real", metavar="real|virtual", help="virtual: it jumps to the next timer.")
@click.option("--network", is_flag=True, help="Let programs' MQTT and HTTP clients reach real servers (--clock real).")
@click.option("--flash", type=Path, help="Folder that keeps its flash between runs.")
@firmware_option
def virtual(options: GlobalOptions, name: str | None, join: bool, flash: Path | None, **passed: Any) -> None:
    """Run a virtual ESP32-S3; Ctrl-C ends it. It prints its addresses."""
    name = name or ("board-1" if join else "virtual-1")
    words = [f"--{one}={passed[one]}" for one in ("board", "serial", "clock")]
    words += [f"--firmware={word}" for word in firmware_words(passed["firmware"])]
    link = None
    secret = ""
    if join:
        devices = known_devices(options.host())
        boards = options.settings().home / "virtual"
        is_ours = flash is None
        if flash is None:
            folders = [boards / check_name(name), *boards.glob("*")]
        else:
            folders = [flash]
        of_link = {link: one for one in devices for link in one.transports}
        found = [(folder, of_link.get(_credential_of(folder) or "")) for folder in folders]  # with the names of today
        flash, known = next((one for one in found if one[1] is not None and one[1].name == name), found[0])
        known = known or next((one for one in devices if one.name == name), None)
        name = known.name if known else name
        made = _join(options, known, name, passed["board"], flash, is_ours=is_ours)
        link = f"wss://{made.host}:{made.port}/link"
        secret = made.secret or ""
        words += ["--link", link, "--link-ca-sha256", made.ca_sha256, *(["--link-secret-file", "-"] if secret else [])]
        words += _published_keys(options.host(), flash)
    if passed["wasmachine"] is not None or join:  # the host has it over the link: no port of its own is needed
        words += ["--wasmachine", str(passed["wasmachine"] or 0)]
    if passed["network"]:
        words.append("--network")
    if flash is not None:
        words += ["--flash", str(flash.absolute())]
    code = _run_board(options, ["--name", name, *words], link, secret)
    if code:
        raise Exit(code)


def _credential_of(flash: Path) -> str | None:
    """The transport of the device that the credential in a flash names."""
    with suppress(OSError, ValueError):
        return f"{LINK_SCHEME}{named_device(flash / 'link' / CREDENTIAL_FILE)}"
    return None


def _join(
    options: GlobalOptions, known: ListedDevice | None, name: str, board: str, folder: Path, *, is_ours: bool
) -> Provisioned:
    """The board's data for the host that runs here; no secret where it is paired and still has its credential.

    The credential of a device that the host does not know any more is removed, where the folder `is_ours`.
    """
    client = options.host()
    credential = folder / "link"
    if known is not None and (known.link is None or known.voice_only):
        again = f"microclaw virtual --join --name {name}-2"
        raise ConfigError(f"{name} is another kind of device: {known.title}", next_step=again)
    paired = known is not None and credential.is_dir()
    if not paired and is_ours:
        shutil.rmtree(credential, ignore_errors=True)
    made = client.call(provision, name=name, board=board, secret=not paired)
    make_folders(folder)
    return made


def _published_keys(client: Client, folder: Path) -> list[str]:
    """The option with the host's public keys for updates, as `flash` gives them to a real board; none without keys."""
    keys = client.call(list_keys).keys
    if not keys:
        return []
    file = (folder / "update-keys.pem").absolute()
    replace_file(file, "".join(key.public for key in keys[:MAX_KEYS]).encode())
    return ["--update-keys", str(file)]


def _run_board(options: GlobalOptions, words: list[str], link: str | None, secret: str) -> int:
    """Start the board, show where it is, pass on the wish to end it, and wait for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "microclaw.virtual", *words, "--die-with-parent"],
        stdin=subprocess.PIPE if secret else None,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    if process.stdin is not None:
        with suppress(BrokenPipeError), process.stdin:  # one that does not start says why itself
            process.stdin.write(secret)
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
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
    if stopped and code in (0, -signal.SIGTERM):
        return 0
    return abs(code)


def _show_board(options: GlobalOptions, facts: dict[str, Any], link: str | None) -> None:
    terminal = options.terminal()
    serial = facts["pty"] or (f"tcp://127.0.0.1:{facts['serial']}" if facts["serial"] else None)
    terminal.row("board", f"{facts['name']} ({facts['board']}, own process {facts['pid']}) ready; Ctrl-C ends it")
    terminal.row("wasm", f"127.0.0.1:{facts['wasmachine']}")
    if serial:
        terminal.row("serial", str(serial))
    terminal.row("control", str(facts["control"]))
    if link is None:
        ways = f"--wasmachine 127.0.0.1:{facts['wasmachine']} --virtual {facts['control']}"
        if serial:
            ways += f" --serial {serial}"
        terminal.line(f"next     microclaw device add {facts['name']} --board {facts['board']} {ways}")
        return
    with BoardControl(Path(facts["control"])) as board:  # a code that somebody has to type is on its console, too
        give_up = time.monotonic() + LINK_S
        while (state := board.ask(control.Link())).state != "connected" and state.code is None:
            if time.monotonic() > give_up:
                terminal.row("link", f"not connected to {link} yet: {state.error or state.state}")
                return
            time.sleep(LOOK_EVERY_S)
    terminal.row("link", f"{state.state} {link}" + (f", code {state.code}" if state.code else ""))
    if state.state == "connected":
        terminal.line("next     microclaw device list")
