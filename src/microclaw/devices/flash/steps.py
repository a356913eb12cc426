"""The whole of `microclaw flash`: image, files, host, Wi-Fi, online. It prints nothing itself and asks the operator.

Each step first looks at what is on the board. So a run after a pulled cable does only what is missing.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from microclaw.devices.flash import pairing, wifi
from microclaw.devices.flash.board_files import (
    KEYS_PATH,
    SETTINGS_PATH,
    BoardFile,
    Survey,
    copy,
    our_files,
    put,
    survey,
)
from microclaw.devices.flash.board_settings import MAX_NETWORKS, OF_HOST, PreviousSettings, networks_of, read_settings
from microclaw.devices.flash.flash_context import FlashContext, FlashOptions, FlashResult, Operator, PairingHost
from microclaw.devices.flash.images import OLDEST, TABLE_AT, FlashImage, check_image, chip_named, find_image, is_known
from microclaw.devices.flash.raw_repl import BoardRestarted, RawRepl
from microclaw.errors import ConfigError, DeviceTimeout
from microclaw.hardware.boards.reader import load_board
from microclaw.text import clean_text

# The first start of an image makes the file system; or a person presses RESET.
_BOOT_S: Final = 60.0
_TRIES: Final = 3
_SAMPLE_BYTES: Final = 4096
_CHIP_IN_MACHINE: Final = re.compile(r" with ESP32-?([A-Z]\d)?")
# People read the key from a label, so no letter looks like another.
_KEY_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"


async def flash_board(context: FlashContext, options: FlashOptions) -> FlashResult:
    """Flash a board, whatever is on it, and wait until it is online at the host."""
    result = FlashResult(str(context.port))
    await _prepare_micropython(context, options, result)
    await _equip_with_retries(context, options, result)
    if context.host is not None and result.device is not None:
        await _wait_online(context, context.host, result.device, result)
    return result


async def _prepare_micropython(context: FlashContext, options: FlashOptions, result: FlashResult) -> None:
    """Write MicroPython, unless the board has one that may stay."""
    on_board = None
    if not options.erase:
        on_board = await _look(context)
    if on_board is not None and _may_stay(context.person, options, on_board):
        return
    if options.adopt:
        text = "no MicroPython answers"
        if on_board is not None:
            text = f"it runs MicroPython {on_board.micropython}"
        raise ConfigError(f"{text}: nothing to adopt", next_step="microclaw flash without --adopt erases the board")
    await _write_micropython(context, options, result, erases=options.erase or on_board is not None)


async def _look(context: FlashContext) -> Survey | None:
    """Return the survey of a board with MicroPython, or None if none answers."""
    try:
        async with context.port.repl(context.look_s) as repl:
            return await survey(repl)
    except DeviceTimeout as exc:
        context.person.say(f"{exc.message}; now the chip itself is asked")
        return None


def _may_stay(person: Operator, options: FlashOptions, on_board: Survey) -> bool:
    """Say and return if the board keeps its MicroPython. Asks the user if there are foreign files."""
    if on_board.is_too_old:
        person.say(f"the board runs MicroPython {on_board.micropython}; our files need {OLDEST}")
        return False
    person.say(f"the board runs MicroPython {on_board.micropython}: it stays")
    names = clean_text(", ".join(on_board.foreign), one_line=True, limit=400)
    if not names or options.adopt:
        return True
    return person.confirm(f"It has files that are not ours ({names}). Keep them beside ours?", default=True)


async def _write_micropython(
    context: FlashContext, options: FlashOptions, result: FlashResult, *, erases: bool
) -> None:
    person = context.person
    esptool = context.esptool
    facts = await esptool.facts()
    chip = chip_named(facts.chip)
    psram = ""
    if facts.psram_bytes:
        psram = f", {facts.psram_bytes >> 20} MB PSRAM"
    person.say(f"found {facts.description}, {facts.flash_bytes >> 20} MB flash{psram}, MAC {facts.mac}")
    image = await asyncio.to_thread(find_image, options.image, chip, facts.psram_bytes, context.cache, context.fetch)
    check_image(image, chip, facts.flash_bytes)
    result.revision = facts.revision
    checked = "its checksum is the official one" if is_known(image) else "the digests inside it are right"
    person.say(f"image {image.path.name}: {checked}")
    erases = await _confirm_erasing(context, image, erases=erases)
    text = f"writing {image.path.name}"
    person.say(text)
    await esptool.write(image.start, image.data, lambda percent: person.progress(text, percent), erases=erases)
    result.chip = facts.chip
    result.mac = facts.mac
    result.image = image.path.name
    if esptool.stays:
        person.say("restart the board into its program now: let BOOT go, press RESET (EN) once")


async def _confirm_erasing(context: FlashContext, image: FlashImage, *, erases: bool) -> bool:
    """Return True if the flash must be erased; ask the user if it is not empty. ConfigError if the user says no."""
    esptool = context.esptool
    if not erases:
        # If this image was already partly written, its partition table is in the flash, and writing may continue.
        table = image.at(TABLE_AT, _SAMPLE_BYTES).ljust(_SAMPLE_BYTES, b"\xff")
        erases = await esptool.read(TABLE_AT, _SAMPLE_BYTES) != table
    must_ask = erases and (await esptool.read(image.start, _SAMPLE_BYTES)).strip(b"\xff")
    if must_ask and not context.person.confirm("Everything on this board will be erased. Go on?", default=False):
        raise ConfigError("nothing was changed on the board", next_step="microclaw flash --adopt erases nothing")
    return erases


async def _equip_with_retries(context: FlashContext, options: FlashOptions, result: FlashResult) -> None:
    """Equip the board; a board that restarts meanwhile continues where it was."""
    for tries_left in reversed(range(_TRIES)):
        try:
            await _equip(context, options, result)
            break
        except (BoardRestarted, DeviceTimeout) as exc:
            if result.micropython is not None and tries_left:
                context.person.say(f"{exc.message}: continuing where it was")
                continue
            if result.image is None or result.micropython is not None:
                raise
            text = f"{result.image} is on the board, and its MicroPython does not answer"
            raise DeviceTimeout(text, next_step="press RESET, then: microclaw flash, else --erase") from exc


async def _equip(context: FlashContext, options: FlashOptions, result: FlashResult) -> None:
    """Give a board with MicroPython its files, host and Wi-Fi, and restart it."""
    async with context.port.repl(_BOOT_S) as repl:
        await repl.soft_reset()
        on_board = await survey(repl)
        result.micropython = on_board.micropython
        result.chip = result.chip or _chip_in(on_board.facts.machine)
        networks: dict[str, wifi.Network] | None = None
        if options.ssid is not None:
            # A wrong name is reported now, not after minutes of copying.
            networks = await wifi.scan(repl)
            wifi.check_heard(options.ssid, networks)
            await repl.run(wifi.OFF)
        await _copy_files(context, repl, on_board, result)
        await _write_keys(context, repl, options, on_board)
        await _write_settings(context, repl, options, result, networks)
        if context.host is not None and result.device is not None:
            result.link = await pairing.link_of(context.host.calls, result.device)
        await repl.start("import machine\nmachine.reset()")


def _chip_in(machine: str) -> str:
    """Return the chip in a text such as "Generic ESP32S3 module with ESP32S3"."""
    match = _CHIP_IN_MACHINE.search(machine)
    if match is None or not match[1]:
        return "ESP32"
    return f"ESP32-{match[1]}"


async def _copy_files(context: FlashContext, repl: RawRepl, on_board: Survey, result: FlashResult) -> None:
    files = await our_files(context.files, with_psram=on_board.has_psram)
    if "main.py" in on_board.foreign:
        await repl.run("import os\nos.rename('/main.py','/main_before.py')")
        context.person.say("its main.py is now main_before.py, and does not start by itself")

    def report(path: str, number: int, count: int) -> None:
        context.person.progress(f"copying {path}", 100.0 * number / count)
        result.copied += 1

    await copy(repl, files, on_board, report)


async def _write_keys(context: FlashContext, repl: RawRepl, options: FlashOptions, on_board: Survey) -> None:
    """Write /keys.json: the keys of the command line, else the keys that the host knows.

    If the command line names none, a board keeps its keys: they may have been changed over the link meanwhile.
    """
    keys = dict(options.update_keys)
    say = context.person.say
    if not keys and KEYS_PATH in on_board.files and options.channel is None:
        say("it keeps its keys for updates")
        return
    if not keys and context.host is not None:
        rows = (await asyncio.to_thread(context.host.calls.get, "/v1/firmware/keys"))["keys"]
        keys = {row["key_id"]: row["n"] for row in rows}
    if not keys and options.channel is not None:
        raise ConfigError("no key is known that signs updates of a channel", next_step="give --update-key FILE")
    if not keys:
        say("it accepts no updates over the link: microclaw firmware keygen, then --update-key FILE")
        return
    channel = options.channel or pairing.CHANNEL
    await put(repl, BoardFile(KEYS_PATH, pairing.sealed_keys(keys, channel)))
    say(f"it accepts updates of channel {channel} that are signed by {', '.join(sorted(keys))}")


async def _write_settings(
    context: FlashContext,
    repl: RawRepl,
    options: FlashOptions,
    result: FlashResult,
    networks: dict[str, wifi.Network] | None,
) -> None:
    """Write host, secret and Wi-Fi. `networks` are the visible networks; None if the board has not scanned yet."""
    previous = await read_settings(repl)
    say = context.person.say
    values = previous.values
    if options.forgets:
        values = {key: value for key, value in values.items() if key in OF_HOST}
    host: pairing.PairingAddress | None = None
    if context.host is not None:
        values, host = await _belong(
            context.host, context.person, repl, options, result=result, previous=previous, values=values
        )
    # Wi-Fi comes last, when everything else is settled.
    known = networks_of(values)
    if options.ssid is not None or not (known or options.keeps_wifi):
        if networks is None:
            networks = await wifi.scan(repl)
        values, result.ssid = await _ask_wifi(context.person, repl, values, options, networks)
        if host is not None:
            await wifi.check_host(repl, host.host, host.port)
    elif host is not None and known and known.keys().isdisjoint(await wifi.scan(repl)):
        say(f"the board sees none of its networks ({', '.join(known)}): microclaw flash --wifi SSID names another")
    result.revision = options.revision or previous.values.get("revision") or result.revision
    new_values = _complete(values, result.revision)
    result.access_point_key = str(new_values["ap_key"])
    say(f"without Wi-Fi it opens its own: microclaw-XXXX, password {result.access_point_key}, http://192.168.4.1")
    if new_values != previous.values or previous.is_mended:
        await put(repl, BoardFile(SETTINGS_PATH, json.dumps(new_values).encode()))


def _complete(values: Mapping[str, Any], revision: str | None) -> dict[str, Any]:
    """Return the settings with the board's revision and the key of its access point."""
    complete = dict(values)
    if revision:
        complete["revision"] = revision
    complete.setdefault("ap_key", "".join(secrets.choice(_KEY_LETTERS) for _ in range(12)))
    return complete


async def _belong(
    owner: PairingHost,
    person: Operator,
    repl: RawRepl,
    options: FlashOptions,
    *,
    result: FlashResult,
    previous: PreviousSettings,
    values: Mapping[str, Any],
) -> tuple[dict[str, Any], pairing.PairingAddress]:
    """Return the settings with which the board belongs to this host, and the host's address."""
    calls = owner.calls
    devices = await pairing.known_devices(calls)
    names = frozenset(devices)
    name = options.name or previous.name or pairing.free_name(names)
    host = await pairing.host_facts(calls, name, options.address)
    has_authority = previous.has_credential and previous.trusts(host)
    was_paired = has_authority and name in names and name == previous.name
    is_paired = was_paired and f"link:{previous.link_id}" in devices[name]["transports"] and not options.forgets
    # The board's own report is not enough to replace a device that the host has.
    if not is_paired and options.name is None and name in names:
        name = pairing.free_name(names, name)
        host = await pairing.host_facts(calls, name, options.address)
    if is_paired and options.address is None:
        host = _with_former_address(host, previous.values)
    elif host.only_local and options.address is None:
        await owner.open_to_network()
        host = await pairing.host_facts(calls, name, options.address)
    result.device = name
    result.board = options.board or previous.board_id or _ask_board(person, result.chip or "")
    # Before the secret is made, so that a wrong --board changes nothing.
    profile = load_board(result.board)
    if is_paired:
        return {**values, "host": host.host, "port": host.port, "board": pairing.board_facts(profile)}, host
    if was_paired:
        person.say(f"it is paired again, as {name}")
    if _is_foreign(previous, host):
        person.say("the board belonged to another host: its settings are removed")
        values = {}
    new_values = await pairing.pair(repl, calls, name, result.board, options.address)
    return {**values, **new_values}, host


def _with_former_address(host: pairing.PairingAddress, values: Mapping[str, Any]) -> pairing.PairingAddress:
    """Return the host with the address in the board's settings, which its owner may have chosen."""
    return replace(host, host=values.get("host", host.host), port=values.get("port", host.port))


def _is_foreign(previous: PreviousSettings, host: pairing.PairingAddress) -> bool:
    """Return True if the board belonged to another host."""
    had_host = previous.has_credential or not previous.values.keys().isdisjoint(("ca_sha256", "secret", "host"))
    return had_host and not previous.trusts(host)


def _ask_board(person: Operator, chip: str) -> str:
    profiles = chip_named(chip).profiles()
    if not profiles:
        raise ConfigError(f"no board profile has an {chip}", next_step="microclaw flash --board PROFILE")
    if len(profiles) == 1:
        return profiles[0]
    return person.choose("Which board is it?", profiles, profiles[0])


async def _ask_wifi(
    person: Operator,
    repl: RawRepl,
    values: dict[str, Any],
    options: FlashOptions,
    networks: dict[str, wifi.Network],
) -> tuple[dict[str, Any], str]:
    """Ask for a network and its password and let the board join; return the new settings and the network's name."""
    ssid = options.ssid
    password = options.password
    if ssid is None:
        if person.asks_nothing:
            raise ConfigError("no Wi-Fi was named", next_step="add --wifi SSID --wifi-password @FILE, or --keep-wifi")
        if not networks:
            raise ConfigError("the board sees no Wi-Fi", next_step="bring it nearer to a 2.4 GHz network")
        ssid = person.choose("Which Wi-Fi? (2.4 GHz; the strongest first)", tuple(networks), next(iter(networks)))
    if ssid in networks and not networks[ssid].is_open and password is None:
        password = person.password(f"Password of {ssid}")
    wifi.check_network(ssid, password, networks)
    person.say(f"the board joins {ssid}")
    await wifi.join(repl, ssid, password)
    entry = {"ssid": ssid}
    if password:
        entry["password"] = password
    others = [other for other in values.get("wifi", []) if other["ssid"] != ssid]
    return {**values, "wifi": [entry, *others][:MAX_NETWORKS]}, ssid


async def _wait_online(context: FlashContext, host: PairingHost, device: str, result: FlashResult) -> None:
    context.person.say(f"waiting for {device} to connect")
    await pairing.wait_online(host.calls, device, result.link, context.online_s)
    board = load_board(result.board or "")
    result.online = True
    pin = "the LED"
    if board.led is None:
        pin = f"pin {board.usable_pins('output')[0]}"
    result.say_next = f'microclaw chat "blink {pin} twice a second on {device}"'
