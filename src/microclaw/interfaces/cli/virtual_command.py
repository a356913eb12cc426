"""`microclaw virtual`: run a virtual board in the foreground."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
from click.exceptions import Exit
from msgspec import Struct

from microclaw.devices.link.operations import provision
from microclaw.devices.link.results import ListedDevice, Provisioned
from microclaw.devices.ota.manifest import MAX_KEYS
from microclaw.devices.ota.operations import list_keys
from microclaw.devices.registry.device_entry import check_name
from microclaw.devices.registry.transport import LINK_SCHEME
from microclaw.durable import make_folders, replace_file
from microclaw.errors import ConfigError
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.child import BoardControl
from microclaw.interfaces.cli.options import GlobalOptions, command
from microclaw.interfaces.cli.program_files import firmware_option, firmware_words
from microclaw.interfaces.cli.targets import known_devices
from microclaw.interfaces.terminal.page import Terminal
from microclaw.virtual.link_client.identity import CREDENTIAL_FILE, read_device_id
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
@click.option("--local-ports", metavar="PORT,...", help="Ports of this computer that programs reach, with --network.")
@click.option("--flash", type=Path, help="Folder that keeps its flash between runs.")
@firmware_option
def virtual(options: GlobalOptions, name: str | None, join: bool, flash: Path | None, **passed: Any) -> None:
    """Run a virtual ESP32-S3; Ctrl-C ends it. It prints its addresses."""
    name = name or ("board-1" if join else "virtual-1")
    words = [f"--{option}={passed[option]}" for option in ("board", "serial", "clock")]
    words += [f"--firmware={word}" for word in firmware_words(passed["firmware"])]
    joined = None
    if join:
        joined = _join_host(options, name, passed["board"], flash)
        name = joined.name
        flash = joined.flash
        words += joined.words
    # A joined board needs no port of its own: the host reaches it over the link.
    if passed["wasmachine"] is not None or join:
        words += ["--wasmachine", str(passed["wasmachine"] or 0)]
    if passed["network"]:
        words.append("--network")
    if passed["local_ports"]:
        words.append(f"--local-ports={passed['local_ports']}")
    if flash is not None:
        words += ["--flash", str(flash.absolute())]
    code = _run_board(options, ["--name", name, *words], joined)
    if code:
        raise Exit(code)


class _JoinedBoard(Struct, frozen=True):
    """A board that joins the host: its name, its flash folder, and the options of its process.

    `secret` is written to the stdin of the process, and is empty if the board has a credential already.
    """

    name: str
    flash: Path
    link: str
    secret: str
    words: list[str]


def _join_host(options: GlobalOptions, name: str, board: str, flash: Path | None) -> _JoinedBoard:
    """Pair the board of that name, or the known board whose credential is in the flash folder, with the host."""
    client = options.host()
    devices = known_devices(client)
    boards = options.settings().home / "virtual"
    is_ours = flash is None
    if flash is None:
        folders = [boards / check_name(name), *boards.glob("*")]
    else:
        folders = [flash]
    folder, device = _find_folder(folders, devices, name)
    if device is not None:
        name = device.name
    provisioned = _provision(client, device, name, board, folder, is_ours=is_ours)
    link = f"wss://{provisioned.host}:{provisioned.port}/link"
    words = ["--link", link, "--link-ca-sha256", provisioned.ca_sha256]
    if provisioned.secret:
        words += ["--link-secret-file", "-"]
    words += _key_options(client, folder)
    return _JoinedBoard(name, folder, link, provisioned.secret or "", words)


def _find_folder(
    folders: Sequence[Path], devices: Sequence[ListedDevice], name: str
) -> tuple[Path, ListedDevice | None]:
    """Return the flash folder for a board, and the host's device.

    That is the folder whose credential belongs to the device that has this name today, else the first folder. Its
    device is the owner of the credential, else the device with this name, else None.
    """
    owners: dict[str, ListedDevice] = {}
    for device in devices:
        for transport in device.transports:
            owners[transport] = device
    folder_owners = [owners.get(_read_transport(folder) or "") for folder in folders]
    for folder, owner in zip(folders, folder_owners, strict=True):
        if owner is not None and owner.name == name:
            return folder, owner
    namesake = next((device for device in devices if device.name == name), None)
    return folders[0], folder_owners[0] or namesake


def _read_transport(flash: Path) -> str | None:
    """Return the transport of the device that the credential in a flash folder names, or None without a credential."""
    with suppress(OSError, ValueError):
        return f"{LINK_SCHEME}{read_device_id(flash / 'link' / CREDENTIAL_FILE)}"
    return None


def _provision(
    client: Client, device: ListedDevice | None, name: str, board: str, folder: Path, *, is_ours: bool
) -> Provisioned:
    """Return what the board needs for the link; without a secret if it is paired and has its credential.

    The credential of a device that the host does not know any more is removed if the folder `is_ours`. Raises
    ConfigError if the device is of another kind.
    """
    credential = folder / "link"
    if device is not None and (device.link is None or device.voice_only):
        step = f"microclaw virtual --join --name {name}-2"
        raise ConfigError(f"{name} is another kind of device: {device.title}", next_step=step)
    is_paired = device is not None and credential.is_dir()
    if not is_paired and is_ours:
        shutil.rmtree(credential, ignore_errors=True)
    provisioned = client.call(provision, name=name, board=board, secret=not is_paired)
    make_folders(folder)
    return provisioned


def _key_options(client: Client, folder: Path) -> list[str]:
    """Return the option with the host's public keys for updates, as `flash` gives them to a board; [] without keys."""
    keys = client.call(list_keys).keys
    if not keys:
        return []
    file = (folder / "update-keys.pem").absolute()
    replace_file(file, "".join(key.public for key in keys[:MAX_KEYS]).encode())
    return ["--update-keys", str(file)]


def _run_board(options: GlobalOptions, words: list[str], joined: _JoinedBoard | None) -> int:
    """Start the board's process, show its addresses, pass signals on, and return its exit code."""
    secret = "" if joined is None else joined.secret
    process = subprocess.Popen(
        [sys.executable, "-m", "microclaw.virtual", *words, "--die-with-parent"],
        stdin=subprocess.PIPE if secret else None,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    if process.stdin is not None:
        # A process that does not start reports the reason itself.
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(secret)
    signals: list[int] = []

    def stop(number: int, _: object) -> None:
        signals.append(number)
        process.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    assert process.stdout is not None
    line = process.stdout.readline()
    if line:
        facts = json.loads(line)
        if not options.wrote_json("virtual", facts):
            _show_board(options.terminal(), facts, joined)
    code = process.wait()
    if signals and code in (0, -signal.SIGTERM):
        return 0
    return abs(code)


def _show_board(terminal: Terminal, facts: dict[str, Any], joined: _JoinedBoard | None) -> None:
    """Print the addresses of a board that is ready, then its link or how to add it to a host."""
    serial = facts["pty"]
    if not serial and facts["serial"]:
        serial = f"tcp://127.0.0.1:{facts['serial']}"
    terminal.row("board", f"{facts['name']} ({facts['board']}, own process {facts['pid']}) ready; Ctrl-C ends it")
    terminal.row("wasm", f"127.0.0.1:{facts['wasmachine']}")
    if serial:
        terminal.row("serial", str(serial))
    terminal.row("control", str(facts["control"]))
    if joined is not None:
        _show_link(terminal, Path(facts["control"]), joined.link)
        return
    addresses = f"--wasmachine 127.0.0.1:{facts['wasmachine']} --virtual {facts['control']}"
    if serial:
        addresses += f" --serial {serial}"
    terminal.line(f"next     microclaw device add {facts['name']} --board {facts['board']} {addresses}")


def _show_link(terminal: Terminal, control_socket: Path, link: str) -> None:
    """Wait until the board is linked or shows a pairing code (it is on the board's console, too), and print it."""
    with BoardControl(control_socket) as board:
        give_up_s = time.monotonic() + LINK_S
        while (state := board.ask(control.Link())).state != "connected" and state.code is None:
            if time.monotonic() > give_up_s:
                terminal.row("link", f"not connected to {link} yet: {state.error or state.state}")
                return
            time.sleep(LOOK_EVERY_S)
    text = f"{state.state} {link}"
    if state.code:
        text += f", code {state.code}"
    terminal.row("link", text)
    if state.state == "connected":
        terminal.line("next     microclaw device list")
