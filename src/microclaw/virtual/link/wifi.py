"""The Wi-Fi of a virtual board: networks that it was told, those in its air, and the trial of a new one. Sends nothing.

docs/protocols/link-methods.md has the rules. There is no radio: `AIR` is what the board hears.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from microclaw.link_client.flash import Flash
from microclaw.virtual.link.calls import Method, text
from microclaw.virtual.py.programs import CallRefused
from microclaw.wire.link.values import Value, ValueMap

AIR: Final[Mapping[str, str | None]] = {"virtual": "virtual board", "virtual-guest": None, "virtual-deaf": None}
"""Name to password, None for an open network."""
DEAF: Final = frozenset({"virtual-deaf"})
"""From these the host is not reached."""
TRIAL_S: Final = 5  # a real board takes 60
MAX_NETWORKS: Final = 8
_MAX_SSID_BYTES: Final = 32
_PASSWORD_BYTES: Final = range(8, 64)
_FIRST: Final = [{"ssid": "virtual", "password": AIR["virtual"]}]


class VirtualWifi:
    """One boot's; the list and a trial that runs are in flash under one name each."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self._settle()

    def methods(self) -> Mapping[str, Method]:
        return {"wifi.list": lambda _: self._list(), "wifi.set": self._set, "wifi.forget": self._forget}

    def try_new(self) -> float | None:
        """Begin and end the trial, the connection being over: how many seconds the board is away for it."""
        return TRIAL_S if self._settle() == "failed" else None

    @property
    def is_trying(self) -> bool:
        return self._trial().get("state") == "trying"

    def _settle(self) -> str | None:
        """Also at boot: the power may have gone in a trial."""
        trial = self._trial()
        if trial.get("state") != "trying":
            return None
        new, why = self._networks()[0], None
        if new["ssid"] not in AIR:
            why = "the board does not hear it; it hears 2.4 GHz alone, never 5 GHz"
        elif AIR[new["ssid"]] != new["password"]:
            why = "the password is wrong"
        elif new["ssid"] in DEAF:
            why = "the host was not reached over it"
        if why is None:
            self._flash.commit({"wifi_trial": {"ssid": new["ssid"], "state": "kept"}})
            return "kept"
        ended = {"ssid": new["ssid"], "state": "failed", "why": why}
        self._flash.commit({"wifi": trial["former"], "wifi_trial": ended})
        return "failed"

    def _list(self) -> Value:
        networks = self._networks()
        value: dict[str, Value] = {"networks": [known["ssid"] for known in networks], "ssid": networks[0]["ssid"]}
        trial = self._trial()
        if trial:
            value["trial"] = {key: trial[key] for key in ("ssid", "state", "why") if key in trial}
        return value

    def _set(self, params: ValueMap) -> Value:
        ssid = text(params, "ssid", _MAX_SSID_BYTES)
        password, later = params.get("password"), params.get("later", False)
        if not _is_plain(ssid):
            raise CallRefused("bad_params", "a Wi-Fi name has 1 to 32 bytes, without control characters")
        if password is not None and not (
            isinstance(password, str) and len(password.encode()) in _PASSWORD_BYTES and _is_plain(password)
        ):
            raise CallRefused("bad_params", "a Wi-Fi password has 8 to 63 characters; leave it out for an open network")
        if not isinstance(later, bool):
            raise CallRefused("bad_params", "later must be true or false")
        self._refuse_while_trying()
        former, entry = self._networks(), {"ssid": ssid, "password": password}
        others = [known for known in former if known["ssid"] != ssid]
        if len(others) >= MAX_NETWORKS:
            raise CallRefused("failed", f"the board knows {len(others)} networks: have it forget one first")
        if later:
            self._flash.commit({"wifi": [*others, entry]})
            return {"ssid": ssid, "state": "kept"}
        trial = {"ssid": ssid, "state": "trying", "former": former}
        self._flash.commit({"wifi": [entry, *others], "wifi_trial": trial})
        return {"ssid": ssid, "state": "trying", "seconds": TRIAL_S}

    def _forget(self, params: ValueMap) -> Value:
        ssid, networks = text(params, "ssid", _MAX_SSID_BYTES), self._networks()
        self._refuse_while_trying()
        if ssid not in [known["ssid"] for known in networks]:
            raise CallRefused("bad_params", "the board knows no such network")
        if ssid == networks[0]["ssid"]:
            why = "the board is connected by it, or knows no other: give it another network first"
            raise CallRefused("failed", why)
        self._flash.commit({"wifi": [known for known in networks if known["ssid"] != ssid]})
        return None

    def _refuse_while_trying(self) -> None:
        if self.is_trying:
            raise CallRefused("failed", "another network is being tried: wait a minute")

    def _networks(self) -> list[dict[str, Any]]:
        return list(self._flash.get("wifi", _FIRST))

    def _trial(self) -> dict[str, Any]:
        return dict(self._flash.get("wifi_trial", {}))


def _is_plain(words: str) -> bool:
    return not any(unicodedata.category(char) == "Cc" for char in words)
