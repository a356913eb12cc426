"""A board is set up in Chromium: esptool-js against a simulated ROM loader, then our own firmware on what it wrote."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from tests.devices.flash.images import whole_image
from tests.devices.flash.pty_board import FILES_AT, FILES_BYTES, MICROPYTHON, MODULES, ON_BOARD
from tests.devices.flash.rom_loader import ESP32, ESP32_S3, ChipKind, RomLoader
from tests.interfaces.page.conftest import WAIT_MS, OpenPage, PageHost, go

USB_PORT = (Path(__file__).parent / "usb_port.js").read_text()
IMAGE = "ESP32_GENERIC-20991231-v1.26.1.bin"
CHIP_BYTES = 4 << 20


class Cable:
    """The chip's ROM loader at the end of the cable, until it is told to start what its flash has."""

    def __init__(self, folder: Path, kind: ChipKind = ESP32) -> None:
        self.rom = RomLoader(kind, bytearray(b"\x5a") * CHIP_BYTES)
        self.files = folder / "files.lfs"
        self.is_noisy = False  # a framing error, as a reset of the board makes it
        self.baud = 0
        self._coming = bytearray()
        self._firmware: subprocess.Popen[bytes] | None = None

    def plug(self, context: BrowserContext) -> None:
        context.expose_function("usbOpen", self._open)
        context.expose_function("usbRead", self._read)
        context.expose_function("usbWrite", self._write)
        context.expose_function("usbClose", self._close)
        context.add_init_script(USB_PORT)

    def start_firmware(self) -> None:
        """Our files as the flash has them, on MicroPython's unix port, its input and output the cable."""
        self.is_noisy = True
        self.files.write_bytes(bytes(self.rom.flash[FILES_AT : FILES_AT + FILES_BYTES]))
        self._firmware = subprocess.Popen(
            [str(MICROPYTHON), str(ON_BOARD / "board_process.py"), str(self.files), MODULES, "main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._firmware.stdout is not None
        os.set_blocking(self._firmware.stdout.fileno(), False)

    def unplug(self) -> None:
        if self._firmware is not None:
            self._firmware.kill()
            self._firmware.communicate()

    def _open(self, baud: int) -> None:
        self.baud = baud

    def _close(self) -> None:
        self._coming.clear()

    def _read(self) -> list[int] | None:
        if self.is_noisy:
            self.is_noisy = False
            return None
        if self._firmware is not None:
            assert self._firmware.stdout is not None
            self._coming += self._firmware.stdout.read() or b""
        came = list(self._coming)
        self._coming.clear()
        return came

    def _write(self, data: list[int]) -> None:
        if self._firmware is None:
            self._coming += self.rom.receive(bytes(data))
            return
        assert self._firmware.stdin is not None
        self._firmware.stdin.write(bytes(data))
        self._firmware.stdin.flush()


@pytest.fixture(scope="module")
def link_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    """A host with a link for boards, and images for the ESP32, and for the ESP32-S3 with 8 MB of PSRAM."""
    folder = tmp_path_factory.mktemp("flash")
    images = folder / "cache" / "images"
    images.mkdir(parents=True)
    (images / IMAGE).write_bytes(whole_image(vfs_end=FILES_AT + FILES_BYTES))
    (images / IMAGE.replace("GENERIC", "GENERIC_S3-SPIRAM_OCT")).write_bytes(whole_image(9))
    found = PageHost(folder / "home", boards=0, link="127.0.0.1:0", cache=folder / "cache")
    with found.running():
        yield found


@pytest.fixture
def plug(tmp_path: Path, chromium: Browser) -> Iterator[Callable[..., tuple[Cable, BrowserContext]]]:
    """A chip on a cable, and a browser profile that reaches it."""
    with ExitStack() as stack:

        def plugged(kind: ChipKind = ESP32) -> tuple[Cable, BrowserContext]:
            cable = Cable(tmp_path, kind)
            context = chromium.new_context()
            stack.callback(context.close)
            stack.callback(cable.unplug)
            cable.plug(context)
            return cable, context

        yield plugged


def open_flash(open_page: OpenPage, host: PageHost, context: BrowserContext | None = None) -> tuple[Page, Locator]:
    """The view, and its part that writes a board."""
    page = open_page(host.link(), context)
    go(page, "Flash a board")
    return page, page.get_by_role("region", name="Write the board")


def write(part: Locator, board: str) -> None:
    part.get_by_role("combobox").select_option(board)
    part.get_by_role("button", name="Erase and write").click()
    part.get_by_role("button", name="Yes").click()


def test_an_empty_chip_is_written_in_the_browser_and_its_firmware_is_paired(
    link_host: PageHost, open_page: OpenPage, plug: Callable[..., tuple[Cable, BrowserContext]]
) -> None:
    cable, context = plug()
    page, part = open_flash(open_page, link_host, context)
    write(part, "esp32-devkitc-v4")
    expect(part).to_contain_text("what it has was compared", timeout=3 * WAIT_MS)
    image = whole_image(vfs_end=FILES_AT + FILES_BYTES)
    flash = cable.rom.flash
    assert bytes(flash[0x1000 : 0x1000 + len(image)]) == image
    assert bytes(flash[:0x1000]) == b"\xff" * 0x1000

    cable.start_firmware()
    console = page.get_by_role("region", name="Wi-Fi and pairing")
    console.get_by_role("button", name="Open the board's console").click()
    console.get_by_label("Wi-Fi").fill("kitchen")
    console.get_by_label("Password").fill("correct horse")
    console.get_by_role("button", name="Give it to the board").click()
    said = console.get_by_label("What the board says")
    expect(said).to_contain_text("WiFi credentials saved")
    expect(said).not_to_contain_text("correct horse")
    assert (cable.baud, cable.is_noisy) == (115_200, False)
    shown = console.get_by_text("The board shows the code")
    expect(shown).to_be_visible()
    code = shown.locator("code").inner_text().split()[3]
    link_host.client.post("/v1/devices/pair", {"code": code, "name": "lamp"})
    shown.get_by_role("link", name="boards").click()
    expect(page.get_by_role("listitem").filter(has_text="lamp")).to_contain_text("online")


def test_another_chip_is_not_erased_and_the_right_one_gets_the_image_for_its_psram(
    link_host: PageHost, open_page: OpenPage, plug: Callable[..., tuple[Cable, BrowserContext]]
) -> None:
    cable, context = plug(ESP32_S3)
    _, part = open_flash(open_page, link_host, context)
    part.get_by_role("combobox").select_option("esp32-c3-devkitm-1")
    expect(part).to_contain_text("fetches MicroPython's image for it, and compares its SHA-256")
    write(part, "esp32-devkitc-v4")
    expect(part.get_by_role("alert")).to_contain_text("this board's chip is an ESP32-S3")
    assert cable.rom.flash == b"\x5a" * CHIP_BYTES
    write(part, "esp32-s3-devkitc-1-v1.1")
    expect(part).to_contain_text("what it has was compared", timeout=3 * WAIT_MS)
    assert bytes(cable.rom.flash).startswith(whole_image(9))
    assert cable.rom.flash[FILES_AT + 8 : FILES_AT + 16] == b"littlefs"


def test_the_manifest_names_every_part_with_its_place_and_digest(link_host: PageHost, open_page: OpenPage) -> None:
    page, _ = open_flash(open_page, link_host)
    address = f"{link_host.url}/v1/firmware/manifest"
    wanted = (
        (f"{address}?board=esp32-s3-devkitc-1-v1.1&psram_bytes=8388608", "ESP32-S3", 0, whole_image(9)),
        (f"{address}?board=esp32-devkitc-v4", "ESP32", 0x1000, whole_image(vfs_end=FILES_AT + FILES_BYTES)),
    )
    for asked, family, start, image in wanted:
        manifest = page.request.get(asked).json()
        assert manifest["new_install_prompt_erase"] is True
        (build,) = manifest["builds"]
        assert (build["chipFamily"], build["official"]) == (family, False)
        flash = bytearray(b"\xff" * CHIP_BYTES)
        for part in build["parts"]:
            data = page.request.get(urljoin(address, part["path"])).body()
            assert (len(data), hashlib.md5(data).hexdigest()) == (part["size_bytes"], part["md5"])
            flash[part["offset"] : part["offset"] + len(data)] = data
        assert build["parts"][0]["offset"] == start
        assert bytes(flash[start : start + len(image)]) == image
        assert flash[FILES_AT + 8 : FILES_AT + 16] == b"littlefs"
    gone = page.request.get(f"{link_host.url}/v1/firmware/parts/{'0' * 64}.bin")
    assert (gone.status, "manifest" in gone.json()["error"]["next"]) == (404, True)
    assert page.request.get(f"{address}?board=esp32-devkitc-v4&flash_bytes=2097152").status == 422
