"""The settings of a board (/settings.json), read over the cable. firmware/README.md describes each key.

The board is not trusted: a known key whose value has another form is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, MsgspecError, Struct, to_builtins

from microclaw.conversion import convert
from microclaw.devices.flash.pairing import PairingAddress
from microclaw.devices.flash.raw_repl import RawRepl
from microclaw.devices.flash.wifi import check_sizes
from microclaw.errors import ConfigError
from microclaw.hardware.boards.reader import board_ids
from microclaw.host.operations.validation import read_json

# As in firmware/fw/networks.py.
MAX_NETWORKS: Final = 8
_MAX_CHARS: Final = 16 * 1024
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
_Host = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._:-]{1,253}\Z")]
_LinkId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]{1,64}\Z")]


class _Network(Struct, omit_defaults=True):
    ssid: str
    password: str = ""


_FORMS: Final[Mapping[str, Any]] = {
    "name": Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,32}\Z")],
    "host": _Host,
    "host_name": _Host,
    "port": Annotated[int, Meta(ge=1, le=65_535)],
    "ca_sha256": Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")],
    "secret": Annotated[str, Meta(max_length=200)],
    "wifi": Annotated[list[Any], Meta(max_length=100)],
    "ap_key": Annotated[str, Meta(pattern=r"\A[!-~]{8,63}\Z")],
    "ap_after_s": Annotated[int, Meta(ge=0, le=86_400)],
    "ntp": Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._:-]{0,253}\Z")],
}
OF_HOST: Final = ("name", "board", "revision", "host", "host_name", "port", "ca_sha256", "secret")


class PreviousSettings(Struct, frozen=True):
    """The former settings of a board.

    `has_credential`: it was paired, as the device `link_id` by its own report; `is_mended`: values were invalid.
    """

    values: dict[str, Any]
    has_credential: bool
    is_mended: bool = False
    link_id: str | None = None

    @property
    def name(self) -> str | None:
        return self.values.get("name")

    @property
    def board_id(self) -> str | None:
        board = self.values.get("board")
        if not isinstance(board, dict):
            return None
        name = board.get("name")
        return name if name in board_ids() else None

    def trusts(self, host: PairingAddress) -> bool:
        """Return True if the board trusts this host's authority: a new address then needs no new secret."""
        return bool(self.values.get("ca_sha256") == host.ca_sha256)


async def read_settings(repl: RawRepl) -> PreviousSettings:
    """Read /settings.json of the board; a missing or damaged file gives no settings, as it is written again."""
    credential, _, rest = (await repl.run(_READ)).partition("\n")
    link_id, _, text = rest.partition("\n")
    try:
        raw = read_json(text)
    except ValueError:
        raw = None
    settings = raw if isinstance(raw, dict) else {}
    values = {}
    for key, value in settings.items():
        if _has_form(value, _FORMS.get(key, Any)):
            values[key] = value
    if "wifi" in values:
        values["wifi"] = _networks(values["wifi"])
    valid_id = None
    if _has_form(link_id.strip(), _LinkId):
        valid_id = link_id.strip()
    has_credential = credential.strip() == "True"
    return PreviousSettings(values, has_credential, is_mended=values != raw, link_id=valid_id)


def networks_of(values: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the Wi-Fi networks in settings from `read_settings`: name to password, None for an open network."""
    return {entry["ssid"]: entry.get("password") for entry in values.get("wifi", [])}


def _has_form(value: object, form: Any) -> bool:
    try:
        convert(value, form)
    except MsgspecError:
        return False
    return True


def _networks(entries: list[Any]) -> list[dict[str, str]]:
    """Return the networks of a valid form."""
    networks: list[dict[str, str]] = []
    for entry in entries:
        with contextlib.suppress(MsgspecError, ConfigError):
            network = convert(entry, _Network)
            check_sizes(network.ssid, network.password)
            networks.append(to_builtins(network))
    return networks[:MAX_NETWORKS]
