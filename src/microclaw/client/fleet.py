"""Many boards: what shall run on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from microclaw.client.calls import Group, Rows, Watch, given, rows
from microclaw.client.request import segment
from microclaw.wire.host_api import JsonObject


class Fleet(Group):
    """`client.fleet`: what shall run, and nothing else. `programs` are bodies of an installation with `devices`."""

    def wanted(self) -> Rows[JsonObject]:
        """What shall run on each device."""
        return rows(self._host.get("/v1/fleet"), "apps")

    def program(self, device: str, name: str) -> JsonObject:
        """A wanted program in the form in which it can be installed again."""
        return self._host.get(f"/v1/fleet/{segment(device)}/{segment(name)}")

    def diff(
        self,
        programs: Sequence[Mapping[str, Any]],
        devices: Sequence[str],
        *,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """What differs from it on `devices`: `rows`, and their `digest`."""
        body = {"programs": [dict(one) for one in programs], "devices": list(devices)}
        return self._act("/v1/fleet/diff", body, watch=watch, within_s=within_s)

    def apply(
        self,
        programs: Sequence[Mapping[str, Any]],
        devices: Sequence[str],
        *,
        prune: bool = False,
        when_back: bool = False,
        digest: str | None = None,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """Install, replace, and with `prune` take off, until nothing differs. `digest`: only these differences."""
        body = {"programs": [dict(one) for one in programs], "devices": list(devices)}
        body |= given(prune=prune, when_back=when_back, digest=digest)
        return self._act("/v1/fleet/apply", body, watch=watch, within_s=within_s)
