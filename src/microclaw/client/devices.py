"""Devices: what they are, calls of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from microclaw.client.calls import Group, Rows, Watch, given, rows
from microclaw.client.request import segment
from microclaw.wire.host_api import JsonObject

if TYPE_CHECKING:
    from microclaw.api import answers


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """Several devices for one act, by exactly one of the three."""

    devices: Sequence[str] = ()
    labels: Sequence[str] = ()
    all: bool = False

    def body(self) -> JsonObject:
        chosen = {"devices": list(self.devices), "labels": list(self.labels), "all": self.all}
        return {name: value for name, value in chosen.items() if value}


class Devices(Group):
    """`client.devices`"""

    def list(self) -> Rows[answers.ListedDevice]:
        """All of them, by name; the host tells them in pages."""
        found: list[JsonObject] = []
        after: str | None = ""
        while after is not None:
            page = self._host.get(f"/v1/devices?after={segment(after)}" if after else "/v1/devices")
            found += rows(page, "devices")
            after = page.get("next")
        return cast("Rows[answers.ListedDevice]", found)

    def get(self, name: str) -> answers.OneDevice:
        """One device with its pins, its last values and what works on such boards."""
        return cast("answers.OneDevice", self._host.get(_path(name)))

    def pins(self, name: str) -> Rows[answers.PinFacts]:
        """Its pins: what each can do, and which ones are reserved."""
        return self.get(name)["pins"]

    def add(
        self,
        name: str,
        board: str,
        transports: Sequence[str],
        *,
        labels: Sequence[str] = (),
        firmware: Sequence[str] = (),
    ) -> answers.DeviceFacts:
        """A device by the ways into it, such as "wasmachine://192.168.1.20:80"; `firmware` as in docs/firmware.md."""
        body = {"name": name, "board": board, "transports": list(transports), "labels": list(labels)}
        return cast("answers.DeviceFacts", self._host.post("/v1/devices", {**body, "firmware": list(firmware)}))

    def rename(self, name: str, new_name: str) -> answers.DeviceFacts:
        return cast("answers.DeviceFacts", self._host.patch(_path(name), {"name": new_name}))

    def remove(self, name: str) -> JsonObject:
        """Forget a device; what runs on it goes on."""
        return self._host.delete(_path(name))

    def label(self, name: str, labels: Sequence[str]) -> answers.DeviceFacts:
        """Replace its labels."""
        return cast("answers.DeviceFacts", self._host.put(f"{_path(name)}/labels", {"labels": list(labels)}))

    def add_transports(self, name: str, transports: Sequence[str]) -> JsonObject:
        return self._host.post(f"{_path(name)}/transports", {"transports": list(transports)})

    def describe_firmware(self, name: str, words: Sequence[str]) -> JsonObject:
        """Say what the firmware on the board has, in words of docs/firmware.md."""
        return self._host.put(f"{_path(name)}/firmware", {"firmware": list(words)})

    def merge(self, name: str, other: str) -> JsonObject:
        """`other` is the same board: its transports and labels go to `name`."""
        return self._host.post(f"{_path(name)}/merge", {"other": other})

    def revoke(self, name: str) -> JsonObject:
        """Nothing that the device has opens anything any more."""
        return self._host.post(f"{_path(name)}/revoke")

    def pairings(self) -> Rows[answers.PendingPairing]:
        """Devices that show a code and wait for a person."""
        return rows(self._host.get("/v1/pairings"), "pairings")

    def check(self, name: str) -> JsonObject:
        """Reach it now by each of its transports; nothing is changed there."""
        return self._host.post(f"{_path(name)}/check")

    def call(
        self,
        name: str,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        wait: bool = True,
        force: bool = False,
        timeout_s: float | None = None,
    ) -> JsonObject:
        """Call a method at once, such as "gpio.set" with {"pin": 2, "level": 1}: its `result`, and the `evidence`.

        `wait`: for a device that is away. `force`: also on a pin that a program has.
        """
        return self._host.post(f"{_path(name)}/call", _call(method, arguments, wait, force, timeout_s))

    def call_many(
        self,
        chosen: DeviceChoice,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        wait: bool = True,
        force: bool = False,
        timeout_s: float | None = None,
    ) -> JsonObject:
        """The same of many devices at once: `results` has one object a device, with `made` or `error`."""
        return self._host.post("/v1/call", {**_call(method, arguments, wait, force, timeout_s), **chosen.body()})

    def notify(self, name: str, text: str, *, speak: bool = False, expires_s: int | None = None) -> JsonObject:
        """Tell the device something: now, or when it comes back."""
        return self._host.post(f"{_path(name)}/notify", given(text=text, speak=speak, expires_s=expires_s))

    def edges(self, name: str, *, cursor: int = 0) -> JsonObject:
        """Level changes that the board counted since a cursor: `edges` of [time in ms, pin, level]."""
        return self._host.get(f"{_path(name)}/edges", {"cursor": cursor})

    def explore(self, name: str, *, watch: Watch | None = None, within_s: float | None = None) -> JsonObject:
        """What its firmware has, found out by a program that is there for a moment."""
        return self._act(f"{_path(name)}/explore", {}, watch=watch, within_s=within_s)

    def wifi(self, name: str) -> JsonObject:
        """The networks that it knows, and how the trial of a new one ended."""
        return self._host.get(f"{_path(name)}/wifi")

    def set_wifi(self, name: str, ssid: str, password: str | None = None, *, later: bool = False) -> JsonObject:
        """Another network: tried first, and given up when the host is not reached over it. `later`: only noted."""
        return self._host.post(f"{_path(name)}/wifi", {"ssid": ssid, "password": password, "later": later})

    def forget_wifi(self, name: str, ssid: str) -> JsonObject:
        return self._host.post(f"{_path(name)}/wifi/forget", {"ssid": ssid})


def _path(name: str) -> str:
    return f"/v1/devices/{segment(name)}"


def _call(
    method: str, arguments: Mapping[str, Any] | None, wait: bool, force: bool, timeout_s: float | None
) -> JsonObject:
    return given(method=method, arguments=dict(arguments or {}), wait=wait, force=force, timeout_s=timeout_s)
