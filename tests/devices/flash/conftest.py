"""A board on a pty, files for it, and a person who answers from a script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.devices.flash.images import is_whole, whole_image
from tests.devices.flash.pty_board import PATIENCE_S, PtyBoard
from tests.devices.flash.rom_loader import ESP32, ChipKind, RomLoader
from tests.forked import Child
from tests.interfaces.cli.conftest import clean_environ

from microclaw.devices.flash.board_port import BoardPort
from microclaw.devices.flash.esptool import Esptool
from microclaw.devices.flash.flash_context import FlashContext, PairingHost

StartBoard: TypeAlias = Callable[..., PtyBoard]


@dataclass
class ScriptedPerson:
    """Says yes unless told otherwise; keeps what was asked and said."""

    refuses: str | None = None
    passwords: list[str] = field(default_factory=lambda: ["correct horse"])
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    shown: list[tuple[str, float]] = field(default_factory=list)
    asks_nothing: bool = False

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, what: str, percent: float) -> None:
        self.shown.append((what, percent))

    def confirm(self, question: str, *, default: bool) -> bool:
        self.asked.append(question)
        return self.refuses is None or self.refuses not in question

    def choose(self, question: str, choices: tuple[str, ...], default: str) -> str:
        self.asked.append(f"{question} {choices}")
        return default

    def password(self, question: str) -> str:
        self.asked.append(question)
        return self.passwords.pop(0)


@pytest.fixture
def start_board(tmp_path: Path) -> Iterator[StartBoard]:
    with ExitStack() as boards:

        def start(kind: ChipKind = ESP32, *, has_micropython: bool = False, flash_bytes: int = 4 << 20) -> PtyBoard:
            rom = RomLoader(kind, bytearray(b"\xff") * flash_bytes)
            board: AbstractContextManager[PtyBoard] = PtyBoard(tmp_path, rom, has_micropython=has_micropython)
            return boards.enter_context(board)

        yield start


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Files for boards as the checkout has them, three of them."""
    folder = tmp_path / "firmware"
    (folder / "fw").mkdir(parents=True)
    (folder / "main.py").write_text("# microclaw: starts the firmware\nimport time\ntime.sleep(600)\n")
    (folder / "fw" / "start.py").write_text("def run():\n    return 'started'\n")
    (folder / "fw" / "link.py").write_text("\n".join(f"NAME_{n} = {n * 1000}" for n in range(200)) + "\n")
    (folder / "fw" / "audio.py").write_text("RATE = 16000\n")
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "ESP32_GENERIC-20991231-v1.26.1.bin"
    path.write_bytes(whole_image())
    return path


@pytest.fixture(autouse=True)
def patient_esptool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It allows a chip 3 s of silence, and 0.2 s once: the board is a thread of this process."""
    path = tmp_path / "esptool.cfg"
    path.write_text("[esptool]\ntimeout = 60\nmem_end_rom_timeout = 60\n")
    monkeypatch.setenv("ESPTOOL_CFGFILE", str(path))


@pytest.fixture
def person() -> ScriptedPerson:
    return ScriptedPerson()


@pytest.fixture
def workshop(tmp_path: Path, files: Path, person: ScriptedPerson) -> Callable[..., FlashContext]:
    def make(board: PtyBoard, host: PairingHost | None = None) -> FlashContext:
        def no_network(_address: str) -> bytes:
            raise OSError("no network")

        port = BoardPort.parse(str(board.port))
        tool = Esptool(port)
        look_s = PATIENCE_S if is_whole(board.rom.flash, 0x10000) else 1.0  # that one never answers
        return FlashContext(port, tool, person, host, files, tmp_path / "cache", no_network, look_s=look_s)

    return make


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    home = tmp_path_factory.mktemp("home")
    words = ["microclaw", "--json", "up", "--port", "0", "--die-with-parent"]
    with Child("host", words, log=home / "stderr", environ=clean_environ(home)) as child:
        yield child.wait_ready()[0]


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    return path
