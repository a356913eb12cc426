"""Tells a board its host and its Wi-Fi: the last steps of `microclaw flash`, each asked of the person where it is open.

/settings.json is written once, when all of it is settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microclaw.boards.reader import load_board
from microclaw.errors import ConfigError
from microclaw.flash import pairing, wifi
from microclaw.flash.board_settings import (
    ToldSettings,
    networks_of,
    new_access_point_key,
    read_settings,
    with_network,
    write_settings,
)
from microclaw.flash.chips import Chip, chip_named
from microclaw.flash.raw_repl import RawRepl
from microclaw.flash.workshop import Host, Outcome, Person, Wishes, Workshop
from microclaw.text import clean_text


async def tell(
    shop: Workshop, repl: RawRepl, wishes: Wishes, done: Outcome, seen: tuple[wifi.Network, ...] | None
) -> None:
    """Host, secret and Wi-Fi, the last only when the rest is settled. `seen`: what the board hears, if it was asked."""
    told = await read_settings(repl)
    values: dict[str, Any] = dict(told.without_personal() if wishes.forgets else told.values)
    host: pairing.HostFacts | None = None
    if shop.host is not None:
        values, host = await _belong(shop.host, shop.person, repl, wishes, done, told, values)
    known = networks_of(values)
    if wishes.ssid is not None or not (known or wishes.keeps_wifi):
        seen = await wifi.scan(repl) if seen is None else seen
        values, done.ssid = await _ask_wifi(shop.person, repl, values, wishes, seen)
        if host is not None:
            await wifi.check_host(repl, host.host, host.port)
    elif host is not None and known:
        await _warn_unheard(shop.person, repl, tuple(known))
    done.revision = wishes.revision or told.values.get("revision") or done.revision
    if done.revision:
        values["revision"] = done.revision
    values.setdefault("ap_key", new_access_point_key())
    done.access_point_key = str(values["ap_key"])
    shop.person.say(
        f"when it finds no Wi-Fi, it opens its own: microclaw-XXXX, password {done.access_point_key}, "
        "with a page at http://192.168.4.1"
    )
    if values != told.values or told.is_mended:
        await write_settings(repl, values)


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
        host = told.where(host)
    elif host.only_local and wishes.address is None:
        await owner.open_to_network()
        host = await pairing.host_facts(calls, name, wishes.address)
    done.device = name
    done.board = wishes.board or told.board_id or _ask_board(person, chip_named(done.chip or ""))
    load_board(done.board)  # a wrong --board is told before a secret is made
    if is_paired:
        facts = pairing.board_facts(load_board(done.board))
        return {**values, "host": host.host, "port": host.port, "board": facts}, host
    if was_paired:
        stale = "" if wishes.forgets else f"what the board has is not what this host gave {told.name}: "
        person.say(f"{stale}it is paired anew, as {name}")
    is_foreign = told.is_of_another(host)
    kept = _keep(person, told, wishes) if is_foreign else values
    new = await pairing.pair(repl, calls, name, done.board, wishes.address, forgets_keys=is_foreign)
    return {**kept, **new}, host


def _keep(person: Person, told: ToldSettings, wishes: Wishes) -> dict[str, Any]:
    """What stays of a board that was another host's: nothing that opens anything there, the rest after a question."""
    personal = told.personal
    gone = "the former host's keys, its authority and its agent's tokens are removed"
    if wishes.forgets or not personal:
        person.say(f"the board was another host's: {gone}")
        return {}
    words = ", ".join(_words_of(personal))
    if not person.asks_nothing and not person.confirm(
        f"The board was another host's, and knows {words}. Keep that?", default=True
    ):
        person.say(f"nothing of that is kept; {gone}")
        return {}
    person.say(f"the board was another host's: kept are {words} (--forget keeps nothing); {gone}")
    return personal


def _words_of(personal: Mapping[str, Any]) -> list[str]:
    names = ", ".join(clean_text(ssid, one_line=True) for ssid in networks_of(personal))
    titles = {
        "wifi": f"the Wi-Fi {names}",
        "ap_key": "the password of its access point",
        "ap_after_s": "when it opens that",
        "ntp": "its time server",
        "audio": "the pins of its microphone and speaker",
    }
    return [title for key, title in titles.items() if key in personal]


def _ask_board(person: Person, chip: Chip) -> str:
    profiles = chip.profiles()
    if not profiles:
        raise ConfigError(f"no board profile has an {chip.name}", next_step="name one with --board")
    if len(profiles) == 1:
        return profiles[0]
    return person.choose("Which board is it?", profiles, profiles[0])


async def _warn_unheard(person: Person, repl: RawRepl, known: tuple[str, ...]) -> None:
    """Before the wait for a board that cannot come."""
    if any(network.ssid in known for network in await wifi.scan(repl)):
        return
    names = ", ".join(known)
    person.say(
        f"the board hears no Wi-Fi that it knows ({names}): it only hears 2.4 GHz. Another: microclaw flash --wifi SSID"
    )


async def _ask_wifi(
    person: Person, repl: RawRepl, values: dict[str, Any], wishes: Wishes, seen: tuple[wifi.Network, ...]
) -> tuple[dict[str, Any], str]:
    ssid, password = wishes.ssid, wishes.password
    if ssid is None:
        if person.asks_nothing:
            raise ConfigError("no Wi-Fi was named", next_step="add --wifi SSID --wifi-password @FILE, or --keep-wifi")
        if not seen:
            raise ConfigError(
                "the board hears no Wi-Fi", next_step="bring it nearer to a 2.4 GHz network, and run it again"
            )
        names = tuple(network.ssid for network in seen)
        ssid = person.choose("Which Wi-Fi? (2.4 GHz; the strongest first)", names, names[0])
    network = next((network for network in seen if network.ssid == ssid), None)
    if network is not None and not network.is_open and password is None:
        password = person.password(f"Password of {ssid}")
    wifi.check_network(ssid, password, seen)
    person.say(f"the board joins {ssid}")
    await wifi.join(repl, ssid, password)
    return with_network(values, ssid, password), ssid
