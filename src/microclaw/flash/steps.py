"""The whole of `microclaw flash`: image, files, host, Wi-Fi, online. It prints nothing; what a person decides, it asks.

Each step first looks at what is on the board. So a run after a pulled cable does what is missing, and no more.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.boards.reader import load_board
from microclaw.errors import ConfigError, DeviceTimeout
from microclaw.flash import pairing, wifi
from microclaw.flash.board_files import PSRAM_ONLY, Survey, copy, our_files, survey
from microclaw.flash.chips import MIN_MICROPYTHON, chip_named
from microclaw.flash.esptool import Esptool
from microclaw.flash.image import FlashImage, check_image, read_image
from microclaw.flash.other_images import (
    BOOTLOADER,
    BOOTLOADER_BYTES,
    OtherImage,
    is_whole,
    nvs_values,
    program_pieces,
    whole_pieces,
)
from microclaw.flash.partitions import TABLE_AT
from microclaw.flash.raw_repl import BoardRestarted, RawRepl
from microclaw.flash.stock_images import find_image, is_known
from microclaw.flash.telling import tell
from microclaw.flash.update_keys import give_keys
from microclaw.flash.workshop import Outcome, Person, Wishes, Workshop
from microclaw.text import clean_text

_BOOT_S: Final = 60.0  # the first start of an image makes the file system; or a person presses RESET
_TRIES: Final = 3
_SAMPLE_BYTES: Final = 4096
_SHOWN_FILES: Final = 8
_SHOWN_CHARS: Final = 60
_CHIP_IN_MACHINE: Final = re.compile(r" with ESP32-?([A-Z]\d)?")


async def flash_board(shop: Workshop, wishes: Wishes) -> Outcome:
    """From whatever is on the board to a board that is online at the host."""
    done = Outcome(str(shop.port))
    if wishes.firmware != "microclaw":
        await _write_other(shop, wishes, done)
        return done
    found = None if wishes.erase else await _look(shop)
    replaces = found is not None and not _may_stay(shop.person, wishes, found)
    if found is None or replaces:
        if wishes.adopt:
            raise ConfigError(
                f"no MicroPython answers on {shop.port}, so there is nothing to adopt",
                next_step="press RESET and run it again; without --adopt the board is flashed",
            )
        await _write_micropython(shop, wishes, done, erases=wishes.erase or replaces)
    for tries_left in reversed(range(_TRIES)):
        try:
            await _equip(shop, wishes, done)
            break
        except (BoardRestarted, DeviceTimeout) as exc:
            if done.micropython is not None and tries_left:
                shop.person.say(f"{exc.message}: going on where it was")
                continue
            if done.image is None or done.micropython is not None:
                raise
            raise DeviceTimeout(
                f"{done.image} is on the board, and its MicroPython does not answer",
                next_step="press RESET and run it again; if it stays so, a file on the board keeps it from starting: "
                "microclaw flash --erase",
            ) from exc
    if shop.host is not None and done.device is not None and shop.waits:
        shop.person.say(f"waiting for {done.device} to connect")
        await pairing.wait_online(shop.host.calls, done.device, done.connections, shop.online_s)
        done.online = True
        done.say_next = _sentence(done)
    return done


async def _equip(shop: Workshop, wishes: Wishes, done: Outcome) -> None:
    """Files, host and Wi-Fi for a board with MicroPython, and its restart into them."""
    async with shop.port.repl(_BOOT_S) as repl:
        await repl.soft_reset()
        found = await survey(repl)
        done.micropython = ".".join(map(str, found.version))
        done.chip = done.chip or _chip_of(found)
        seen: tuple[wifi.Network, ...] | None = None
        if wishes.ssid is not None:  # a wrong name is told before minutes of copying
            seen = await wifi.scan(repl)
            wifi.check_heard(wishes.ssid, seen)
            await wifi.switch_off(repl)
        await _copy(shop, repl, found, done)
        await give_keys(shop, repl, wishes, found)
        await tell(shop, repl, wishes, done, seen)
        if shop.host is not None and done.device is not None:
            done.connections = await pairing.connections(shop.host.calls, done.device)
        await repl.start("import machine\nmachine.reset()")


async def _look(shop: Workshop) -> Survey | None:
    """What a board with MicroPython has; None where none answers."""
    try:
        async with shop.port.repl(shop.look_s) as repl:
            return await survey(repl)
    except DeviceTimeout as exc:
        shop.person.say(f"{exc.message}; now the chip itself is asked")
        return None


def _may_stay(person: Person, wishes: Wishes, found: Survey) -> bool:
    """Whether the MicroPython that is there is kept. Asks when somebody else's files are on it."""
    version = ".".join(map(str, found.version))
    if found.version[:2] < MIN_MICROPYTHON:
        oldest = ".".join(map(str, MIN_MICROPYTHON))
        if wishes.adopt:
            raise ConfigError(
                f"the board runs MicroPython {version}, and our files need {oldest}",
                next_step="without --adopt a new one is put on it, which erases its files",
            )
        person.say(f"the board runs MicroPython {version}; our files need {oldest}")
        return False
    person.say(f"the board runs MicroPython {version}: it stays")
    if not found.foreign or wishes.adopt:
        return True
    names = ", ".join(clean_text(name, one_line=True, limit=_SHOWN_CHARS) for name in found.foreign[:_SHOWN_FILES])
    if len(found.foreign) > _SHOWN_FILES:
        names += f" and {len(found.foreign) - _SHOWN_FILES} more"
    return person.confirm(f"It has files that are not ours ({names}). Keep them beside ours?", default=True)


def _ask_erase(person: Person) -> None:
    if not person.confirm("Everything on this board will be erased. Go on?", default=False):
        raise ConfigError(
            "nothing was changed on the board", next_step="microclaw flash --adopt keeps what a MicroPython board has"
        )


async def _write_micropython(shop: Workshop, wishes: Wishes, done: Outcome, *, erases: bool) -> None:
    person = shop.person
    facts = await shop.esptool.facts()
    chip = chip_named(facts.chip)
    psram = f", {facts.psram_bytes >> 20} MB PSRAM" if facts.psram_bytes else ""
    person.say(f"found {facts.description}, {facts.flash_bytes >> 20} MB flash{psram}, MAC {facts.mac}")
    image = find_image(wishes.image, chip, facts.psram_bytes, shop.cache, shop.fetch)
    check_image(image, chip, facts.flash_bytes)
    done.revision = facts.revision
    checked = "its checksum is the official one" if is_known(image) else "the digests inside it are right"
    person.say(f"image {image.path.name}: {checked}")
    erases = erases or not await _is_begun(shop.esptool, image)
    if erases and not await _is_blank(shop.esptool, image):
        _ask_erase(person)
    await _write(shop, image, done, chip.name, facts.mac, erases=erases)


async def _write_other(shop: Workshop, wishes: Wishes, done: Outcome) -> None:
    """An ESP-WASMachine or xiaozhi image that the person has: whole, or its program alone."""
    person, firmware = shop.person, wishes.firmware
    if wishes.image is None:
        raise ConfigError(f"microclaw has no {firmware} image", next_step="name the one that you have: --image FILE")
    password = wishes.password
    if wishes.ssid is not None and password is None and firmware == "xiaozhi" and not person.asks_nothing:
        password = person.password(f"Password of {wishes.ssid} (nothing: it is open)") or None
    values = nvs_values(firmware, wishes.ssid, password, wishes.ota_url)
    given = OtherImage(firmware, wishes.image, wishes.parts, values)
    facts = await shop.esptool.facts()
    chip = chip_named(facts.chip)
    if is_whole(given.path):
        check_image(read_image(given.path), chip, facts.flash_bytes, wants_micropython=False)
        pieces, erases = whole_pieces(given), True
    else:
        erases = BOOTLOADER in given.parts
        there = None if erases else await shop.esptool.read(chip.image_start, BOOTLOADER_BYTES)
        pieces = program_pieces(given, chip, facts.flash_bytes, there)
        person.say(f"partitions as {firmware} has them for this flash; a build with its own needs its whole image")
        if not erases:
            person.say("the bootloader that is on the board stays")
    _ask_erase(person)
    what = f"writing {given.path.name}"
    person.say(f"{what}: {', '.join(f'{piece.name} at {piece.address:#x}' for piece in pieces)}")
    places = [(piece.address, piece.data) for piece in pieces]
    await shop.esptool.write_pieces(places, lambda percent: person.progress(what, percent), erases=erases)
    done.chip, done.mac, done.image, done.ssid = chip.name, facts.mac, given.path.name, wishes.ssid
    _say_how_to_start(shop)


async def _write(shop: Workshop, image: FlashImage, done: Outcome, chip: str, mac: str, *, erases: bool) -> None:
    what = f"writing {image.path.name}"
    shop.person.say(what)
    await shop.esptool.write(image, lambda percent: shop.person.progress(what, percent), erases=erases)
    done.chip, done.mac, done.image = chip, mac, image.path.name
    _say_how_to_start(shop)


def _say_how_to_start(shop: Workshop) -> None:
    if shop.esptool.stays:
        shop.person.say("restart the board into its program now: let BOOT go, press RESET (EN) once")


async def _is_begun(esptool: Esptool, image: FlashImage) -> bool:
    """Whether this very image was being written here: its partition table's page is the flash's."""
    page = image.at(TABLE_AT, _SAMPLE_BYTES)
    return await esptool.read(TABLE_AT, _SAMPLE_BYTES) == page.ljust(_SAMPLE_BYTES, b"\xff")


async def _is_blank(esptool: Esptool, image: FlashImage) -> bool:
    """Whether nothing is where chips look for a program."""
    return not (await esptool.read(image.start, _SAMPLE_BYTES)).strip(b"\xff")


async def _copy(shop: Workshop, repl: RawRepl, found: Survey, done: Outcome) -> None:
    if not found.has_psram:
        names = tuple(name for name in PSRAM_ONLY if (shop.files / "fw" / name).exists())
        done.left_out = names
        if names:
            shop.person.say(f"without PSRAM the board has no room for {', '.join(names)}: left out")
    files = await our_files(shop.files, with_psram=found.has_psram)
    if "main.py" in found.foreign:
        await repl.run("import os\nos.rename('/main.py','/main_before.py')")
        shop.person.say("its main.py is now main_before.py, and does not start by itself")

    def told(path: str, number: int, of: int) -> None:
        shop.person.progress(f"copying {path}", 100.0 * number / of)
        done.copied += 1

    await copy(repl, files, found, told)


def _chip_of(found: Survey) -> str:
    """ESP32-S3 from "Generic ESP32S3 module with ESP32S3"; ESP32 for boards that name none."""
    match = _CHIP_IN_MACHINE.search(found.machine)
    return f"ESP32-{match[1]}" if match and match[1] else "ESP32"


def _sentence(done: Outcome) -> str:
    """What to say first, which this board can do."""
    board = load_board(done.board or "")
    what = "the LED" if board.led is not None else f"pin {board.free_pins('output')[0]}"
    return f'microclaw chat "blink {what} twice a second on {done.device}"'
