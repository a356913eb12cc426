"""Many boards: releases of their firmware, updates in stages."""

from __future__ import annotations

from typing import Any, Literal

from microclaw.client.calls import Group, Rows, rows
from microclaw.client.devices import DeviceChoice
from microclaw.client.request import segment
from microclaw.wire.host_api import JsonObject


class Firmware(Group):
    """`client.firmware`: signed releases, for an owner. Publishing needs the key: microclaw firmware publish."""

    def status(self, device: str | None = None) -> Rows[JsonObject]:
        """What each device runs, trusts and was offered last."""
        return rows(self._host.get("/v1/firmware/status", {"device": device}), "devices")

    def releases(self) -> Rows[JsonObject]:
        """The newest first."""
        return rows(self._host.get("/v1/firmware/releases"), "releases")

    def release(self, release: str) -> JsonObject:
        """One by its number or version, with its manifest."""
        return self._host.get(f"/v1/firmware/releases/{segment(release)}")

    def keys(self) -> Rows[JsonObject]:
        """The public keys whose updates the host passes on."""
        return rows(self._host.get("/v1/firmware/keys"), "keys")

    def offer(self, release: str, chosen: DeviceChoice) -> JsonObject:
        """Offer it; a device that is away gets it when it is back."""
        return self._host.post("/v1/firmware/offers", {"release": release, **chosen.body()})

    def cancel_offer(self, device: str) -> JsonObject:
        """Ask a device to give up what it has not written yet."""
        return self._host.post(f"/v1/firmware/offers/{segment(device)}/cancel")

    def verify(self, release: str) -> JsonObject:
        """Read its payload and check the signature again."""
        return self._host.post(f"/v1/firmware/releases/{segment(release)}/verify")

    def withdraw(self, release: str) -> JsonObject:
        """Nobody gets it any more."""
        return self._host.post(f"/v1/firmware/releases/{segment(release)}/withdraw")


class Rollouts(Group):
    """`client.rollouts`: a release to many boards in stages, for an owner."""

    def list(self) -> Rows[JsonObject]:
        """The newest first."""
        return rows(self._host.get("/v1/rollouts"), "rollouts")

    def get(self, number: int) -> JsonObject:
        """One, with its boards."""
        return self._host.get(f"/v1/rollouts/{number}")

    def start(self, version: str, chosen: DeviceChoice, **limits: Any) -> JsonObject:
        """Begin; it stops by itself when a gate fails. `limits`: `stages`, `window` and others of docs/updates.md."""
        return self._host.post("/v1/rollouts", {"version": version, **chosen.body(), **limits})

    def change(self, number: int, act: Literal["pause", "resume", "stop"]) -> JsonObject:
        """`pause`: no more offers; `resume`; `stop`: for good."""
        return self._host.post(f"/v1/rollouts/{number}/{act}")

    def undo(self, number: int) -> Rows[JsonObject]:
        """Take its boards back to what they ran: the rollouts that do it."""
        return rows(self._host.post(f"/v1/rollouts/{number}/undo"), "rollouts")
