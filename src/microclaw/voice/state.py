"""The state of voice, for the API and the host's status. It opens nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microclaw.voice.service import VoiceService
    from microclaw.voice.xiaozhi.server import XiaozhiServer


@dataclass(slots=True)
class VoiceState:
    """`problems` says why voice, xiaozhi or wyoming is off though it is wanted. `ota` is what a person types into a
    device of xiaozhi's firmware, `wyoming` where that listens."""

    service: VoiceService | None = None
    xiaozhi: XiaozhiServer | None = None
    ota: str | None = None
    wyoming: str | None = None
    problems: dict[str, str] = field(default_factory=dict)

    def xiaozhi_object(self) -> dict[str, Any]:
        server, text = self.xiaozhi, self.problems.get("xiaozhi")
        state, connected = ("off", 0) if server is None else ("on", server.connected)
        return {"state": state, "text": text, "ota": self.ota, "connected": connected}

    def wyoming_object(self) -> dict[str, Any]:
        state = "off" if self.wyoming is None else "on"
        return {"state": state, "text": self.problems.get("wyoming"), "address": self.wyoming}
