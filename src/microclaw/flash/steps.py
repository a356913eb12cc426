"""The whole of `microclaw flash`: image, files, host, Wi-Fi, online. It prints nothing; the person decides by answers.

Each step first looks at what is on the board. So a run after a pulled cable does what is missing, and no more.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from microclaw.boards.reader import load_board
from microclaw.errors import ConfigError, DeviceTimeout
from microclaw.flash import pairing, wifi
from microclaw.flash.board_files import Survey, copy, our_files, survey
from microclaw.flash.chips import OLDEST, chip_named
from microclaw.flash.flash_image import TABLE_AT, check_image
from microclaw.flash.raw_repl import BoardRestarted, RawRepl
from microclaw.flash.stock_images import find_image, is_known
from microclaw.flash.telling import give_keys, tell
from microclaw.flash.workshop import Outcome, Person, Wishes, Workshop
from microclaw.text import clean_text

_BOOT_S: Final = 60.0  # the first start of an image makes the file system; or a person presses RESET
_TRIES: Final = 3
_SAMPLE_BYTES: Final = 4096
_CHIP_IN_MACHINE: Final = re.compile(r" with ESP32-?([A-Z]\d)?")


async def flash_board(shop: Workshop, wishes: Wishes) -> Outcome:
    """From whatever is on the board to a board that is online at the host."""
    done, say = Outcome(str(shop.port)), shop.person.say
    found = None if wishes.erase else await _look(shop)
    if found is None or not _may_stay(shop.person, wishes, found):
        if wishes.adopt:
            text = "no MicroPython answers" if found is None else f"it runs MicroPython {found.micropython}"
            raise ConfigError(f"{text}: nothing to adopt", next_step="microclaw flash without --adopt erases the board")
        await _write_micropython(shop, wishes, done, erases=wishes.erase or found is not None)
    for tries_left in reversed(range(_TRIES)):
        try:
            await _equip(shop, wishes, done)
            break
        except (BoardRestarted, DeviceTimeout) as exc:
            if done.micropython is not None and tries_left:
                say(f"{exc.message}: going on where it was")
                continue
            if done.image is None or done.micropython is not None:
                raise
            text = f"{done.image} is on the board, and its MicroPython does not answer"
            raise DeviceTimeout(text, next_step="press RESET, then: microclaw flash, else --erase") from exc
    if shop.host is not None and done.device is not None:
        say(f"waiting for {done.device} to connect")
        await pairing.wait_online(shop.host.calls, done.device, done.connections, shop.online_s)
        board, done.online = load_board(done.board or ""), True
        pin = "the LED" if board.led is not None else f"pin {board.free_pins('output')[0]}"
        done.say_next = f'microclaw chat "blink {pin} twice a second on {done.device}"'
    return done


async def _equip(shop: Workshop, wishes: Wishes, done: Outcome) -> None:
    """Files, host and Wi-Fi for a board with MicroPython, and its restart into them."""
    async with shop.port.repl(_BOOT_S) as repl:
        await repl.soft_reset()
        found = await survey(repl)
        done.micropython = found.micropython
        named = _CHIP_IN_MACHINE.search(found.facts.machine)  # "Generic ESP32S3 module with ESP32S3"
        done.chip = done.chip or (f"ESP32-{named[1]}" if named and named[1] else "ESP32")
        seen: dict[str, wifi.Network] | None = None
        if wishes.ssid is not None:  # a wrong name is told before minutes of copying
            seen = await wifi.scan(repl)
            wifi.check_heard(wishes.ssid, seen)
            await repl.run(wifi.OFF)
        await _copy(shop, repl, found, done)
        await give_keys(shop, repl, wishes, found)
        await tell(shop, repl, wishes, done, seen)
        if shop.host is not None and done.device is not None:
            _, done.connections = await pairing.link_of(shop.host.calls, done.device)
        await repl.start("import machine\nmachine.reset()")


async def _look(shop: Workshop) -> Survey | None:
    """The survey of a board with MicroPython; None where none answers."""
    try:
        async with shop.port.repl(shop.look_s) as repl:
            return await survey(repl)
    except DeviceTimeout as exc:
        shop.person.say(f"{exc.message}; now the chip itself is asked")
        return None


def _may_stay(person: Person, wishes: Wishes, found: Survey) -> bool:
    """Say and return if the MicroPython that is there is kept. Asks when somebody else's files are on it."""
    if found.is_too_old:
        person.say(f"the board runs MicroPython {found.micropython}; our files need {OLDEST}")
        return False
    person.say(f"the board runs MicroPython {found.micropython}: it stays")
    names = clean_text(", ".join(found.foreign), one_line=True, limit=400)
    return (
        not names
        or wishes.adopt
        or person.confirm(f"It has files that are not ours ({names}). Keep them beside ours?", default=True)
    )


async def _write_micropython(shop: Workshop, wishes: Wishes, done: Outcome, *, erases: bool) -> None:
    person, esptool = shop.person, shop.esptool
    facts = await esptool.facts()
    chip = chip_named(facts.chip)
    psram = f", {facts.psram_bytes >> 20} MB PSRAM" if facts.psram_bytes else ""
    person.say(f"found {facts.description}, {facts.flash_bytes >> 20} MB flash{psram}, MAC {facts.mac}")
    image = await asyncio.to_thread(find_image, wishes.image, chip, facts.psram_bytes, shop.cache, shop.fetch)
    check_image(image, chip, facts.flash_bytes)
    done.revision = facts.revision
    checked = "its checksum is the official one" if is_known(image) else "the digests inside it are right"
    person.say(f"image {image.path.name}: {checked}")
    if not erases:  # an image that was begun here has its own partition table in the flash already
        page = image.at(TABLE_AT, _SAMPLE_BYTES).ljust(_SAMPLE_BYTES, b"\xff")
        erases = await esptool.read(TABLE_AT, _SAMPLE_BYTES) != page
    asks = erases and (await esptool.read(image.start, _SAMPLE_BYTES)).strip(b"\xff")
    if asks and not person.confirm("Everything on this board will be erased. Go on?", default=False):
        raise ConfigError("nothing was changed on the board", next_step="microclaw flash --adopt erases nothing")
    what = f"writing {image.path.name}"
    person.say(what)
    await esptool.write(image.start, image.data, lambda percent: person.progress(what, percent), erases=erases)
    done.chip, done.mac, done.image = facts.chip, facts.mac, image.path.name
    if esptool.stays:
        person.say("restart the board into its program now: let BOOT go, press RESET (EN) once")


async def _copy(shop: Workshop, repl: RawRepl, found: Survey, done: Outcome) -> None:
    files = await our_files(shop.files, with_psram=found.has_psram)
    if "main.py" in found.foreign:
        await repl.run("import os\nos.rename('/main.py','/main_before.py')")
        shop.person.say("its main.py is now main_before.py, and does not start by itself")

    def told(path: str, number: int, of: int) -> None:
        shop.person.progress(f"copying {path}", 100.0 * number / of)
        done.copied += 1

    await copy(repl, files, found, told)
