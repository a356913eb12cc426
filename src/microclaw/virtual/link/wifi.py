"""The Wi-Fi of a virtual board: the firmware's own list of networks, and the trial of a new one. Sends nothing.

docs/protocols/link-methods.md has the rules. There is no radio: `AIR` is what the board hears.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, Final, cast

from microclaw.hardware.firmware_modules import load
from microclaw.virtual.link.calls import Method
from microclaw.virtual.link_client.flash import Flash
from microclaw.virtual.py.programs import CallRefused
from microclaw.wire.link.values import Value, ValueMap

AIR: Final[Mapping[str, str | None]] = {"virtual": "virtual board", "virtual-guest": None, "virtual-deaf": None}
"""Name to password, None for an open network."""
DEAF: Final = frozenset({"virtual-deaf"})
"""From these the host is not reached."""
_FIRST: Final = [{"ssid": "virtual", "password": AIR["virtual"]}]
sys.modules.setdefault("micropython", cast("ModuleType", SimpleNamespace(const=lambda value: value)))
CallError: type[Exception] = load("errors").CallError
load("shown")  # which networks imports
networks = load("networks")
networks.TRIAL_S = TRIAL_S = 5  # type: ignore[attr-defined]  # a real board takes 60


class VirtualWifi:
    """One boot's Wi-Fi; the list and a trial that runs are in flash.

    To networks.py it is the firmware's `calls` with its `settings` (get, change) and its `wifi` (ssid, address): `wlan`
    None is no radio to move.
    """

    wlan = then = None

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self.settings = self.wifi = self
        self._settle()

    def methods(self) -> Mapping[str, Method]:
        names = ("wifi.list", "wifi.set", "wifi.forget")
        return {name: partial(self._perform, getattr(networks, name.replace(".", "_"))) for name in names}

    def try_new(self) -> float | None:
        """Begin and end the trial, the connection being over: how many seconds the board is away for it."""
        return TRIAL_S if self._settle() == "failed" else None

    @property
    def is_trying(self) -> bool:
        return bool(self.get("wifi_trial", {}).get("state") == "trying")

    # What the firmware's code asks

    def get(self, name: str, default: Any = None) -> Any:
        return self._flash.get(name, _FIRST if name == "wifi" else default)

    def change(self, **values: Any) -> None:
        self._flash.commit(values)

    @property
    def ssid(self) -> str:
        return str(self.get("wifi")[0]["ssid"])

    def address(self) -> str:
        return "127.0.0.1"

    def _perform(self, act: Callable[[VirtualWifi, ValueMap], Value], params: ValueMap) -> Value:
        try:
            return act(self, params)
        except CallError as exc:
            raise CallRefused(exc.code, str(exc)) from exc  # type: ignore[attr-defined]

    def _settle(self) -> str | None:
        """End a trial; also at boot: the power may have gone in it."""
        if not self.is_trying:
            return None
        new = self.get("wifi")[0]
        why = None
        if new["ssid"] not in AIR:
            why = "the board does not hear it; it hears 2.4 GHz alone, never 5 GHz"
        elif AIR[new["ssid"]] != new.get("password"):
            why = "the password is wrong"
        elif new["ssid"] in DEAF:
            why = "the host was not reached over it"
        if why is None:
            self.change(wifi_trial={"ssid": new["ssid"], "state": "kept"})
            return "kept"
        trial = {"ssid": new["ssid"], "state": "failed", "why": why}
        self.change(wifi=self.get("wifi_trial")["former"], wifi_trial=trial)
        return "failed"
