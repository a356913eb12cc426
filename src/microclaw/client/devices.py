"""What devices measured, and how they failed."""

from __future__ import annotations

from collections.abc import Sequence

from microclaw.client.calls import Group, Rows, rows
from microclaw.client.request import segment
from microclaw.wire.host_api import JsonObject


class Devices(Group):
    """`client.devices`"""

    def telemetry(
        self,
        name: str,
        *,
        keys: Sequence[str] = (),
        since_ms: int | None = None,
        until_ms: int | None = None,
        points: int | None = None,
    ) -> JsonObject:
        """What it measured between two Unix times, the last two hours without them; at most `points` of a series."""
        query = {"key": list(keys), "since": since_ms, "until": until_ms, "points": points}
        return self._host.get(f"{_path(name)}/telemetry", query)

    def crashes(self, devices: Sequence[str] = (), *, since_ms: int | None = None) -> Rows[JsonObject]:
        """The kinds of crash that boards reported, the newest first."""
        return rows(self._host.get("/v1/crashes", {"device": list(devices), "since": since_ms}), "crashes")

    def crash(self, crash_id: int) -> JsonObject:
        """One kind of crash, with its newest reports."""
        return self._host.get(f"/v1/crashes/{crash_id}")

    def clear_crashes(self, crashes: Sequence[int] | None = None, *, device: str | None = None) -> JsonObject:
        """Forget crashes: of these numbers, of a device, or all of them."""
        return self._host.post("/v1/crashes/clear", {"crashes": crashes and list(crashes), "device": device})


def _path(name: str) -> str:
    return f"/v1/devices/{segment(name)}"
