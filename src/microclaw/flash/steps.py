"""The whole of `microclaw flash`: image, files, host, Wi-Fi, online. It prints nothing; the person decides by answers.

Each step first looks at what is on the board. So a run after a pulled cable does what is missing, and no more.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from microclaw.boards.reader import load_board
from microclaw.errors import ConfigError, DeviceTimeout
from microclaw.flash import pairing, wifi
from microclaw.flash.board_files import KEYS_PATH, SETTINGS_PATH, BoardFile, Survey, copy, our_files, put, survey
from microclaw.flash.board_settings import MAX_NETWORKS, OF_HOST, PreviousSettings, networks_of, read_settings
from microclaw.flash.flash_context import FlashContext, FlashOptions, FlashResult, Operator, PairingHost
from microclaw.flash.images import OLDEST, TABLE_AT, check_image, chip_named, find_image, is_known
from microclaw.flash.raw_repl import BoardRestarted, RawRepl
from microclaw.text import clean_text

_BOOT_S: Final = 60.0  # the first start of an image makes the file system; or a person presses RESET
_TRIES: Final = 3
_SAMPLE_BYTES: Final = 4096
_CHIP_IN_MACHINE: Final = re.compile(r" with ESP32-?([A-Z]\d)?")


async def flash_board(shop: FlashContext, wishes: FlashOptions) -> FlashResult:
    """Flash a board, whatever it has now, until it is online at the host."""
    done = FlashResult(str(shop.port))
    await _prepare_micropython(shop, wishes, done)
    await _equip_with_retries(shop, wishes, done)
    if shop.host is not None and done.device is not None:
        await _wait_online(shop, shop.host, done.device, done)
    return done


async def _prepare_micropython(shop: FlashContext, wishes: FlashOptions, done: FlashResult) -> None:
    """Write MicroPython, unless the board has one that may stay."""
    found = None
    if not wishes.erase:
        found = await _look(shop)
    if found is not None and _may_stay(shop.person, wishes, found):
        return
    if wishes.adopt:
        text = "no MicroPython answers"
        if found is not None:
            text = f"it runs MicroPython {found.micropython}"
        raise ConfigError(f"{text}: nothing to adopt", next_step="microclaw flash without --adopt erases the board")
    await _write_micropython(shop, wishes, done, erases=wishes.erase or found is not None)


async def _equip_with_retries(shop: FlashContext, wishes: FlashOptions, done: FlashResult) -> None:
    """Equip the board; a board that restarts meanwhile continues where it was."""
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
            text = f"{done.image} is on the board, and its MicroPython does not answer"
            raise DeviceTimeout(text, next_step="press RESET, then: microclaw flash, else --erase") from exc


async def _wait_online(shop: FlashContext, host: PairingHost, device: str, done: FlashResult) -> None:
    shop.person.say(f"waiting for {device} to connect")
    await pairing.wait_online(host.calls, device, done.link, shop.online_s)
    board = load_board(done.board or "")
    done.online = True
    pin = "the LED"
    if board.led is None:
        pin = f"pin {board.free_pins('output')[0]}"
    done.say_next = f'microclaw chat "blink {pin} twice a second on {device}"'


async def _equip(shop: FlashContext, wishes: FlashOptions, done: FlashResult) -> None:
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
            done.link = await pairing.link_of(shop.host.calls, done.device)
        await repl.start("import machine\nmachine.reset()")


async def _look(shop: FlashContext) -> Survey | None:
    """Return the survey of a board with MicroPython, or None if none answers."""
    try:
        async with shop.port.repl(shop.look_s) as repl:
            return await survey(repl)
    except DeviceTimeout as exc:
        shop.person.say(f"{exc.message}; now the chip itself is asked")
        return None


def _may_stay(person: Operator, wishes: FlashOptions, found: Survey) -> bool:
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


async def _write_micropython(shop: FlashContext, wishes: FlashOptions, done: FlashResult, *, erases: bool) -> None:
    person = shop.person
    esptool = shop.esptool
    facts = await esptool.facts()
    chip = chip_named(facts.chip)
    if facts.psram_bytes:
        psram = f", {facts.psram_bytes >> 20} MB PSRAM"
    else:
        psram = ""
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
    done.chip = facts.chip
    done.mac = facts.mac
    done.image = image.path.name
    if esptool.stays:
        person.say("restart the board into its program now: let BOOT go, press RESET (EN) once")


async def _copy(shop: FlashContext, repl: RawRepl, found: Survey, done: FlashResult) -> None:
    files = await our_files(shop.files, with_psram=found.has_psram)
    if "main.py" in found.foreign:
        await repl.run("import os\nos.rename('/main.py','/main_before.py')")
        shop.person.say("its main.py is now main_before.py, and does not start by itself")

    def told(path: str, number: int, of: int) -> None:
        shop.person.progress(f"copying {path}", 100.0 * number / of)
        done.copied += 1

    await copy(repl, files, found, told)


_KEY_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another: read from a label


async def tell(
    shop: FlashContext, repl: RawRepl, wishes: FlashOptions, done: FlashResult, seen: dict[str, wifi.Network] | None
) -> None:
    """Host, secret and Wi-Fi, the last only when the rest is settled. `seen`: the networks around, if it was asked."""
    told = await read_settings(repl)
    say = shop.person.say
    values = {key: value for key, value in told.values.items() if not wishes.forgets or key in OF_HOST}
    host: pairing.PairingAddress | None = None
    if shop.host is not None:
        values, host = await _belong(shop.host, shop.person, repl, wishes, done=done, told=told, values=values)
    known = networks_of(values)
    if wishes.ssid is not None or not (known or wishes.keeps_wifi):
        if seen is None:
            seen = await wifi.scan(repl)
        values, done.ssid = await _ask_wifi(shop.person, repl, values, wishes, seen)
        if host is not None:
            await wifi.check_host(repl, host.host, host.port)
    elif host is not None and known and not known.keys() & (await wifi.scan(repl)).keys():
        say(f"the board hears none of its networks ({', '.join(known)}): microclaw flash --wifi SSID names another")
    done.revision = wishes.revision or told.values.get("revision") or done.revision
    if done.revision:
        values["revision"] = done.revision
    values.setdefault("ap_key", "".join(secrets.choice(_KEY_LETTERS) for _ in range(12)))
    done.access_point_key = str(values["ap_key"])
    say(f"without Wi-Fi it opens its own: microclaw-XXXX, password {done.access_point_key}, http://192.168.4.1")
    if values != told.values or told.is_mended:
        await put(repl, BoardFile(SETTINGS_PATH, json.dumps(values).encode()))


async def give_keys(shop: FlashContext, repl: RawRepl, wishes: FlashOptions, found: Survey) -> None:
    """Write /keys.json: the keys of the command line, else those that the host knows.

    A board keeps the keys that it has when nobody names others: they may have been changed over the link meanwhile.
    """
    keys = dict(wishes.update_keys)
    said = shop.person.say
    if not keys and KEYS_PATH in found.files and wishes.channel is None:
        said("it keeps its keys for updates")
        return
    if not keys and shop.host is not None:
        rows = (await asyncio.to_thread(shop.host.calls.get, "/v1/firmware/keys"))["keys"]
        keys = {row["key_id"]: row["n"] for row in rows}
    if not keys and wishes.channel is not None:
        raise ConfigError("no key is known that signs updates of a channel", next_step="give --update-key FILE")
    if not keys:
        said("it takes no updates over the link: microclaw firmware keygen, then --update-key FILE")
        return
    channel = wishes.channel or pairing.CHANNEL
    await put(repl, BoardFile(KEYS_PATH, pairing.sealed_keys(keys, channel)))
    said(f"it takes updates of channel {channel} that are signed by {', '.join(sorted(keys))}")


async def _belong(
    owner: PairingHost,
    person: Operator,
    repl: RawRepl,
    wishes: FlashOptions,
    *,
    done: FlashResult,
    told: PreviousSettings,
    values: Mapping[str, Any],
) -> tuple[dict[str, Any], pairing.PairingAddress]:
    """Return the settings with which the board belongs to this host, and the host's address."""
    calls = owner.calls
    devices = await pairing.known_devices(calls)
    taken = frozenset(devices)
    name = wishes.name or told.name or pairing.free_name(taken)
    host = await pairing.host_facts(calls, name, wishes.address)
    was_paired = told.has_credential and told.trusts(host) and name in taken and name == told.name
    is_paired = was_paired and f"link:{told.link_id}" in devices[name]["transports"] and not wishes.forgets
    # The board's own word is not enough to take the place of a device that the host has.
    if not is_paired and wishes.name is None and name in taken:
        name = pairing.free_name(taken, name)
        host = await pairing.host_facts(calls, name, wishes.address)
    if is_paired and wishes.address is None:
        host = replace(host, host=told.values.get("host", host.host), port=told.values.get("port", host.port))
    elif host.only_local and wishes.address is None:
        await owner.open_to_network()
        host = await pairing.host_facts(calls, name, wishes.address)
    done.device = name
    done.board = wishes.board or told.board_id or _ask_board(person, done.chip or "")
    # Before the secret is made, so that a wrong --board changes nothing.
    profile = load_board(done.board)
    if is_paired:
        return {**values, "host": host.host, "port": host.port, "board": pairing.board_facts(profile)}, host
    if was_paired:
        person.say(f"it is paired again, as {name}")
    is_foreign = _is_foreign(told, host)
    if is_foreign:
        person.say("the board belonged to another host: its settings are removed")
    new = await pairing.pair(repl, calls, name, done.board, wishes.address)
    return (new if is_foreign else {**values, **new}), host


def _is_foreign(told: PreviousSettings, host: pairing.PairingAddress) -> bool:
    """Return True if the board belonged to another host."""
    had_host = told.has_credential or any(key in told.values for key in ("ca_sha256", "secret", "host"))
    return had_host and not told.trusts(host)


def _ask_board(person: Operator, chip: str) -> str:
    profiles = chip_named(chip).profiles()
    if not profiles:
        raise ConfigError(f"no board profile has an {chip}", next_step="microclaw flash --board PROFILE")
    if len(profiles) == 1:
        return profiles[0]
    return person.choose("Which board is it?", profiles, profiles[0])


async def _ask_wifi(
    person: Operator, repl: RawRepl, values: dict[str, Any], wishes: FlashOptions, seen: dict[str, wifi.Network]
) -> tuple[dict[str, Any], str]:
    ssid = wishes.ssid
    password = wishes.password
    if ssid is None:
        if person.asks_nothing:
            raise ConfigError("no Wi-Fi was named", next_step="add --wifi SSID --wifi-password @FILE, or --keep-wifi")
        if not seen:
            raise ConfigError("the board hears no Wi-Fi", next_step="bring it nearer to a 2.4 GHz network")
        ssid = person.choose("Which Wi-Fi? (2.4 GHz; the strongest first)", tuple(seen), next(iter(seen)))
    if ssid in seen and not seen[ssid].is_open and password is None:
        password = person.password(f"Password of {ssid}")
    wifi.check_network(ssid, password, seen)
    person.say(f"the board joins {ssid}")
    await wifi.join(repl, ssid, password)
    others = [entry for entry in values.get("wifi", []) if entry["ssid"] != ssid]
    entry = {"ssid": ssid, **({"password": password} if password else {})}
    return {**values, "wifi": [entry, *others][:MAX_NETWORKS]}, ssid
