"""How voice stands, for the API and the host's status. It opens nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microclaw.voice.service import VoiceService
    from microclaw.voice.xiaozhi.server import XiaozhiServer


@dataclass(slots=True)
class VoiceState:
    """`problem` says why there is no `service`, the other two why a service with a port is off. `ota` is what a person
    types into a device, `wyoming` where that listens."""

    service: VoiceService | None = None
    problem: str | None = None
    xiaozhi: XiaozhiServer | None = None
    xiaozhi_problem: str | None = None
    ota: str | None = None
    wyoming: str | None = None
    wyoming_problem: str | None = None

    @property
    def connected(self) -> int:
        """Devices of xiaozhi's firmware."""
        return 0 if self.xiaozhi is None else self.xiaozhi.connected

    def xiaozhi_object(self) -> dict[str, Any]:
        state = "off" if self.xiaozhi is None else "on"
        return {"state": state, "text": self.xiaozhi_problem, "ota": self.ota, "connected": self.connected}

    def wyoming_object(self) -> dict[str, Any]:
        state = "off" if self.wyoming is None else "on"
        return {"state": state, "text": self.wyoming_problem, "address": self.wyoming}
