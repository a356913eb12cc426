"""/settings.json of a board, over the cable: read strictly, and written whole. What each key is: firmware/README.md.

A board's own word is not believed: a key that we know whose value has another form is left out.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from microclaw.boards.reader import board_ids
from microclaw.flash.board_answers import short_text, whole
from microclaw.flash.board_files import SETTINGS_PATH, BoardFile, put
from microclaw.flash.pairing import HostFacts
from microclaw.flash.raw_repl import RawRepl
from microclaw.flash.wifi import MAX_PASSWORD, MAX_SSID_BYTES, MIN_PASSWORD
from microclaw.validation import read_json

PERSONAL: Final = ("wifi", "ap_key", "ap_after_s", "ntp", "audio")
"""What a person gave the board, and which host it belongs to does not matter for."""
MAX_NETWORKS: Final = 8  # firmware/fw/networks.py
_MAX_CHARS: Final = 16 * 1024
_MAX_DAY_S: Final = 86_400
_KEY_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
_KEY_CHARS: Final = 12
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_NAME: Final = re.compile(r"[a-z0-9-]{1,32}")  # of a device
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LINK_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_KEY: Final = re.compile(r"[!-~]{8,63}")
_READ: Final = f"""\
import os
print('credential.json' in os.listdir('/'))
try:
    import json
    print(json.load(open('/credential.json'))['token'].split('_')[1][:64])
except Exception:print()
try:print(open('/settings.json').read({_MAX_CHARS}))
except OSError:print('{{}}')
"""


@dataclass(frozen=True, slots=True)
class ToldSettings:
    """What the board was told before; `has_credential`: it was paired, as the device with `link_id` by its own word;
    `is_mended`: something was left out."""

    values: dict[str, Any]
    has_credential: bool
    is_mended: bool = False
    link_id: str | None = None

    @property
    def passwords(self) -> dict[str, str | None]:
        """The Wi-Fi networks that it knows, by name."""
        return networks_of(self.values)

    @property
    def board_id(self) -> str | None:
        """The profile that it was given."""
        facts = self.values.get("board")
        name = facts.get("name") if isinstance(facts, dict) else None
        return name if name in board_ids() else None

    @property
    def name(self) -> str | None:
        return self.values.get("name")

    @property
    def personal(self) -> dict[str, Any]:
        return {key: self.values[key] for key in PERSONAL if key in self.values}

    def without_personal(self) -> dict[str, Any]:
        """What makes it a board of its host, and nothing else."""
        return {key: value for key, value in self.values.items() if key in _OF_HOST}

    def trusts(self, host: HostFacts) -> bool:
        """Whether it was told of this host's authority: a new address needs no new secret then."""
        return bool(self.values.get("ca_sha256") == host.ca_sha256)

    def is_of_another(self, host: HostFacts) -> bool:
        """Whether something on it comes from a host that is not this one."""
        was_told = self.has_credential or any(key in self.values for key in ("ca_sha256", "secret", "host"))
        return was_told and not self.trusts(host)

    def where(self, host: HostFacts) -> HostFacts:
        """The host where the board was told that it is."""
        name, port = self.values.get("host"), self.values.get("port")
        return host if name is None or port is None else replace(host, host=name, port=port)


async def read_settings(repl: RawRepl) -> ToldSettings:
    """What /settings.json says; nothing where it is missing or damaged, as it is written anew then."""
    credential, _, rest = (await repl.run(_READ)).partition("\n")
    link_id, _, text = rest.partition("\n")
    try:
        raw = read_json(text)
    except ValueError:
        raw = None
    values = {} if not isinstance(raw, dict) else {key: raw[key] for key in raw if key not in _FORMS}
    for key, form in _FORMS.items():
        if isinstance(raw, dict) and key in raw:
            try:
                values[key] = form(raw[key])
            except ValueError:
                continue
    link_id = link_id.strip()
    is_one = _LINK_ID.fullmatch(link_id) is not None
    return ToldSettings(values, credential.strip() == "True", values != raw, link_id if is_one else None)


async def write_settings(repl: RawRepl, values: Mapping[str, Any]) -> None:
    """Whole or not at all, over the cable."""
    await put(repl, BoardFile(SETTINGS_PATH, json.dumps(values).encode()))


def networks_of(values: Mapping[str, Any]) -> dict[str, str | None]:
    """The Wi-Fi networks in settings that `read_settings` returned: name to password, None for an open one."""
    return {entry["ssid"]: entry.get("password") for entry in values.get("wifi", [])}


def with_network(values: Mapping[str, Any], ssid: str, password: str | None) -> dict[str, Any]:
    """The settings with this Wi-Fi first; the others stay, up to what the board takes."""
    others = [entry for entry in values.get("wifi", []) if entry["ssid"] != ssid]
    entry = {"ssid": ssid, **({"password": password} if password else {})}
    return {**values, "wifi": [entry, *others][:MAX_NETWORKS]}


def new_access_point_key() -> str:
    """Of the access point that a board opens when it finds no Wi-Fi: to be read from a label, typed on a phone."""
    return "".join(secrets.choice(_KEY_LETTERS) for _ in range(_KEY_CHARS))


def _networks(value: object) -> list[dict[str, str]]:
    """The entries of the right form; others are left out (IEEE 802.11: names and passphrases)."""
    if not isinstance(value, list):
        raise ValueError("no list of networks")
    return [found for entry in value[:MAX_NETWORKS] if (found := _network(entry)) is not None]


def _network(entry: object) -> dict[str, str] | None:
    if not isinstance(entry, dict):
        return None
    ssid, password = entry.get("ssid"), entry.get("password") or ""
    if not isinstance(ssid, str) or not isinstance(password, str):
        return None
    if any(ord(char) < 32 or ord(char) == 127 for char in ssid + password):
        return None
    if not 0 < len(ssid.encode(errors="replace")) <= MAX_SSID_BYTES:
        return None
    if password and not MIN_PASSWORD <= len(password.encode(errors="replace")) <= MAX_PASSWORD:
        return None
    return {"ssid": ssid, **({"password": password} if password else {})}


def _audio(value: object) -> dict[str, Any]:
    """firmware/fw/audio.py: mic and speaker have three pins each, button has one."""
    if not isinstance(value, dict) or not value.keys() <= {"mic", "speaker", "button"}:
        raise ValueError("no pins of audio")
    for name, pins in value.items():
        numbers = [pins] if name == "button" else pins
        if not isinstance(numbers, list) or len(numbers) != (1 if name == "button" else 3):
            raise ValueError(f"no pins of {name}")
        for pin in numbers:
            whole(pin, 0, 63)
    return value


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"no {pattern.pattern}")
        return value

    return read


_host_name: Final = _matching(_HOST)
_FORMS: Final[Mapping[str, Callable[[object], Any]]] = {
    "name": _matching(_NAME),
    "host": _host_name,
    "host_name": _host_name,
    "port": lambda value: whole(value, 1, 65_535),
    "ca_sha256": _matching(_SHA256),
    "secret": lambda value: short_text(value, 200),
    "wifi": _networks,
    "ap_key": _matching(_KEY),
    "ap_after_s": lambda value: whole(value, 0, _MAX_DAY_S),
    "ntp": lambda value: "" if value == "" else _host_name(value),
    "audio": _audio,
}
_OF_HOST: Final = ("name", "board", "revision", "host", "host_name", "port", "ca_sha256", "secret")
