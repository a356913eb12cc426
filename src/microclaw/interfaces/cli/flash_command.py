"""`microclaw flash`: asks and prints at the terminal; devices/flash/steps.py has the steps."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct

from microclaw.devices.link.operations import provision
from microclaw.errors import ConfigError, NoHost
from microclaw.host.config.edit import LAN, write_changes
from microclaw.host.config.load import private_home
from microclaw.host.config.places import cache_folder
from microclaw.interfaces.cli.options import GlobalOptions, command, needs_terminal, secret_value
from microclaw.interfaces.terminal.page import Terminal, detect_look
from microclaw.programs.changes.device_operations import list_devices
from microclaw.text import clean_text

# These modules take 0.2 s to import, which `--help` must not.
if TYPE_CHECKING:
    from microclaw.devices.flash.board_port import BoardPort
    from microclaw.devices.flash.flash_context import FlashResult, Operator
    from microclaw.devices.transports.serial_ports import ListPorts
    from microclaw.host.operations.client import Client

_RESTART_S: Final = 300.0
_POLL_S: Final = 1.0


@command()
@click.option("-p", "--port", metavar="PORT", help="/dev/ttyUSB0, socket://HOST:PORT; none: found on USB.")
@click.option("--image", type=Path, metavar="FILE", help="The image to write; none: the stock MicroPython.")
@click.option("--adopt", is_flag=True, help="The board runs MicroPython already: erase nothing, keep its files.")
@click.option("--erase", is_flag=True, help="Erase the board first, even if nothing needs it.")
@click.option("--wifi", "ssid", metavar="SSID", help="Its Wi-Fi; none: asked.")
@click.option("--wifi-password", metavar="@FILE|-", help="From a file or stdin, never written here itself.")
@click.option("--keep-wifi", "keeps_wifi", is_flag=True, help="Ask for no Wi-Fi, leave what the board knows.")
@click.option("--forget", "forgets", is_flag=True, help="Forget its settings: Wi-Fi, access point, time.")
@click.option("--name", help="What to call the board.")
@click.option("--board", metavar="PROFILE", help="Its board profile.")
@click.option("--address", metavar="HOST", help="How the board reaches this host, if not as usual.")
@click.option("--update-key", multiple=True, type=Path, metavar="FILE", help="Public key of updates; none: the host's.")
@click.option("--channel", help="Channel of its updates. Without it: the board's present channel, else stable.")
@click.option("--revision", help="Of the board: some updates are only for one. Without it: the chip's.")
def flash(
    options: GlobalOptions, port: str | None, wifi_password: str | None, update_key: tuple[Path, ...], **wanted: Any
) -> None:
    """Put our firmware on a board, pair it, give it Wi-Fi. Run it again to do the missing steps."""
    _check_options(wifi_password, wanted)
    from microclaw.devices.flash.esptool import Esptool
    from microclaw.devices.flash.flash_context import FlashContext, FlashOptions
    from microclaw.devices.flash.images import download
    from microclaw.devices.flash.steps import flash_board
    from microclaw.devices.ota.keys import read_public_key
    from microclaw.hardware.firmware_folder import firmware_folder

    trusted = [read_public_key(path).trusted for path in update_key]
    password = None
    if wifi_password is not None:
        password = secret_value("--wifi-password", wifi_password)
    person = TerminalPerson(options)
    board_port = find_port(person, port)
    host = _find_host(options, person)
    wishes = FlashOptions(**wanted, password=password, update_keys={key.key_id: key.n for key in trusted})
    workshop = FlashContext(
        board_port,
        Esptool(board_port),
        person,
        host,
        firmware_folder(),
        cache_folder(os.environ),
        download,
    )
    outcome = asyncio.run(flash_board(workshop, wishes))
    person.end_line()
    _report(options, outcome)


def _check_options(wifi_password: str | None, wanted: Mapping[str, Any]) -> None:
    """Raise BadParameter for options that contradict each other, ConfigError for names with other letters."""
    if wifi_password is not None and not wanted["ssid"]:
        raise click.BadParameter("a password without a network: give --wifi SSID too")
    if wanted["adopt"] and (wanted["erase"] or wanted["image"]):
        raise click.BadParameter("--adopt erases and writes no image")
    if wanted["forgets"] and wanted["keeps_wifi"]:
        raise click.BadParameter("--forget and --keep-wifi contradict each other: leave one out")
    for option, letters in (("channel", "a-z0-9-"), ("revision", "A-Za-z0-9._-")):
        text = wanted[option]
        if text is not None and re.fullmatch(f"[{letters}]{{1,32}}", text) is None:
            raise ConfigError(f"invalid {option} {text[:40]!r}", next_step=f"give 1 to 32 of {letters}")


def _find_host(options: GlobalOptions, person: TerminalPerson) -> RunningHost | None:
    """Return the host, or None if none runs: the board is not paired then."""
    client = options.host()
    try:
        client.call(list_devices, limit=1)
    except NoHost:
        person.say("no host runs: the board gets its files and its Wi-Fi, and is not paired yet")
        return None
    return RunningHost(options, client, person)


class TerminalPerson:
    """Questions and progress at the terminal, on stderr: stdout has only the answer."""

    def __init__(self, options: GlobalOptions) -> None:
        self._options = options
        self._look = detect_look(sys.stderr)
        self._page = Terminal(sys.stderr, self._look)
        self._quarter: tuple[str, int] | None = None
        self.end_line = self._page.end_redraw

    def say(self, text: str) -> None:
        if not self._options.quiet:
            self._page.line(clean_text(text, one_line=True))

    def progress(self, what: str, percent: float) -> None:
        """Show progress: redraw a line on a terminal, else print a line at each new quarter."""
        if self._options.quiet:
            return
        text = f"{clean_text(what, one_line=True)} {percent:.0f} %"
        quarter = (what, int(percent) // 25)
        if percent < 100 and self._look.live:
            self._page.passing("", text)
        elif quarter != self._quarter:
            self._page.line(text)
        self._quarter = quarter

    def confirm(self, question: str, *, default: bool) -> bool:
        self.end_line()
        return self._options.confirm(question, default=default)

    def choose(self, question: str, choices: tuple[str, ...], default: str) -> str:
        """Ask for the number of a choice; with --yes return the default."""
        if self._options.yes:
            self.say(f"{question} {default}, because of --yes")
            return default
        self.end_line()
        needs_terminal(question, "name it with its option (microclaw flash --help)")
        for number, choice in enumerate(choices, 1):
            self._page.line(f"  {number}  {clean_text(choice, one_line=True)}")
        numbers = click.IntRange(1, len(choices))
        answer: int = click.prompt(question, default=choices.index(default) + 1, type=numbers, err=True)
        return choices[answer - 1]

    def password(self, question: str) -> str:
        self.end_line()
        return secret_value(question, None, remedy="give --wifi-password @FILE")

    @property
    def asks_nothing(self) -> bool:
        return self._options.yes or not sys.stdin.isatty()


class RunningHost(Struct, frozen=True):
    """The host of this machine, or the host that --host names."""

    options: GlobalOptions
    calls: Client
    person: TerminalPerson

    async def open_to_network(self) -> None:
        """Ask, write the setting, and wait until the user has started the host again. Raises ConfigError for a no."""
        question = "Boards connect to port 8443, which is closed to your network. Open it (TLS, only paired boards)?"
        if self.options.address() is not None or not self.person.confirm(question, default=True):
            text = "the host accepts only boards on its own machine: 8443 is closed"
            raise ConfigError(text, next_step=f"there: microclaw up --link {LAN}")
        write_changes(private_home(os.environ, self.options.home), os.environ, {"host.link": LAN})
        self.person.say("written. Start the host again now: Ctrl-C in its window, then microclaw up; this waits")
        try:
            async with asyncio.timeout(_RESTART_S):
                while await asyncio.to_thread(self._is_closed):  # noqa: ASYNC110  the host is another process
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as exc:
            raise ConfigError("the host was not started again", next_step="microclaw up; microclaw flash") from exc

    def _is_closed(self) -> bool:
        try:
            return self.calls.call(provision, name="board", secret=False).only_local
        except NoHost:
            return True


def find_port(person: Operator, named: str | None, listed: ListPorts | None = None) -> BoardPort:
    """Return the named port, else the only board on USB, else the board that the user chooses.

    Raises ConfigError if there is no board, or if there are several and the user cannot be asked.
    """
    from microclaw.devices.flash.board_port import BoardPort, no_board
    from microclaw.devices.transports.serial_ports import list_ports
    from microclaw.devices.transports.serial_survey import board_ports, port_name, suggestion

    if named is not None:
        return BoardPort.parse(named)
    ports = tuple((listed or list_ports)())
    boards = board_ports(ports)
    if not boards:
        raise no_board(ports)
    texts = tuple(f"{port.device}, {suggestion(port)}, {port.usb}" for port in boards)
    index = 0
    if len(boards) > 1:
        if person.asks_nothing:
            raise ConfigError(f"{len(boards)} boards are on USB: {'; '.join(texts)}", next_step="name one with -p PORT")
        index = texts.index(person.choose("Which board?", texts, texts[0]))
    person.say(f"board on {texts[index]}")
    return BoardPort.parse(port_name(boards[index], ports))


def _report(options: GlobalOptions, outcome: FlashResult) -> None:
    document = {**asdict(outcome), "paired": outcome.device is not None}
    del document["link"]
    options.end_with_json("flash", document)
    if outcome.online:
        options.say(f"{outcome.device} is online. next: {outcome.say_next}")
    else:
        options.say(
            "the board has its files. next: microclaw up, then microclaw flash again: it continues and pairs it"
        )
