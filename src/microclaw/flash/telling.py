"""Tells a board its host and its Wi-Fi: the last steps of `microclaw flash`, each asked of the person where it is open.

/settings.json is written once, when all of it is settled.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from microclaw.boards.reader import load_board
from microclaw.errors import ConfigError
from microclaw.flash import pairing, wifi
from microclaw.flash.board_files import KEYS_PATH, SETTINGS_PATH, BoardFile, Survey, put
from microclaw.flash.board_settings import MAX_NETWORKS, OF_HOST, ToldSettings, networks_of, read_settings
from microclaw.flash.chips import chip_named
from microclaw.flash.raw_repl import RawRepl
from microclaw.flash.workshop import Host, Outcome, Person, Wishes, Workshop

_KEY_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another: read from a label


async def tell(
    shop: Workshop, repl: RawRepl, wishes: Wishes, done: Outcome, seen: dict[str, wifi.Network] | None
) -> None:
    """Host, secret and Wi-Fi, the last only when the rest is settled. `seen`: the networks around, if it was asked."""
    told, say = await read_settings(repl), shop.person.say
    values = {key: value for key, value in told.values.items() if not wishes.forgets or key in OF_HOST}
    host: pairing.HostFacts | None = None
    if shop.host is not None:
        values, host = await _belong(shop.host, shop.person, repl, wishes, done, told, values)
    known = networks_of(values)
    if wishes.ssid is not None or not (known or wishes.keeps_wifi):
        seen = await wifi.scan(repl) if seen is None else seen
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


async def give_keys(shop: Workshop, repl: RawRepl, wishes: Wishes, found: Survey) -> None:
    """Write /keys.json: the keys of the command line, else those that the host knows.

    A board keeps the keys that it has when nobody names others: they may have been changed over the link meanwhile.
    """
    keys, said = dict(wishes.update_keys), shop.person.say
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
    owner: Host,
    person: Person,
    repl: RawRepl,
    wishes: Wishes,
    done: Outcome,
    told: ToldSettings,
    values: Mapping[str, Any],
) -> tuple[dict[str, Any], pairing.HostFacts]:
    """The settings with which the board belongs to this host, and where the host is."""
    calls = owner.calls
    devices = await pairing.known_devices(calls)
    taken = frozenset(devices)
    name = wishes.name or told.name or pairing.free_name(taken)
    host = await pairing.host_facts(calls, name, wishes.address)
    was_paired = told.has_credential and told.trusts(host) and name in taken and name == told.name
    is_paired = was_paired and f"link:{told.link_id}" in devices[name] and not wishes.forgets
    if not is_paired and wishes.name is None and name in taken:  # its word alone takes no known board's place
        name = pairing.free_name(taken, name)
        host = await pairing.host_facts(calls, name, wishes.address)
    if is_paired and wishes.address is None:
        host = replace(host, host=told.values.get("host", host.host), port=told.values.get("port", host.port))
    elif host.only_local and wishes.address is None:
        await owner.open_to_network()
        host = await pairing.host_facts(calls, name, wishes.address)
    done.device = name
    done.board = wishes.board or told.board_id or _ask_board(person, done.chip or "")
    profile = load_board(done.board)  # a wrong --board is told before a secret is made
    if is_paired:
        return {**values, "host": host.host, "port": host.port, "board": pairing.board_facts(profile)}, host
    if was_paired:
        person.say(f"it is paired again, as {name}")
    was_told = told.has_credential or any(key in told.values for key in ("ca_sha256", "secret", "host"))
    is_foreign = was_told and not told.trusts(host)
    if is_foreign:
        person.say("the board was another host's: nothing that it was told stays")
    new = await pairing.pair(repl, calls, name, done.board, wishes.address)
    return {**({} if is_foreign else values), **new}, host


def _ask_board(person: Person, chip: str) -> str:
    profiles = chip_named(chip).profiles()
    if not profiles:
        raise ConfigError(f"no board profile has an {chip}", next_step="microclaw flash --board PROFILE")
    return profiles[0] if len(profiles) == 1 else person.choose("Which board is it?", profiles, profiles[0])


async def _ask_wifi(
    person: Person, repl: RawRepl, values: dict[str, Any], wishes: Wishes, seen: dict[str, wifi.Network]
) -> tuple[dict[str, Any], str]:
    ssid, password = wishes.ssid, wishes.password
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
