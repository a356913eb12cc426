"""On which host's machine a device's ports are, where hosts of a cluster share their devices. It opens nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from microclaw.addresses import is_of_one_machine
from microclaw.devices.device import Device
from microclaw.devices.transport import Transport
from microclaw.errors import ConfigError


class Machine(Struct, frozen=True):
    """This host's, by the host's name; None where the host is alone, and every port is its own.

    `elsewhere` makes the transport of a port at another host, whose name it gets, from one that would open it here.
    """

    name: str | None = None
    elsewhere: Callable[[Transport, str], Transport] = lambda transport, _host: transport

    def has_ports_of(self, host: str | None) -> bool:
        """True if ports that belong to `host` are here, as far as is known: None is nobody's."""
        return self.name is None or host is None or host == self.name

    def has(self, device: Device, endpoint: str) -> bool:
        """True if the endpoint is one of the device's, and not a port of another machine."""
        return endpoint in device.endpoints and (self.has_ports_of(device.host) or not is_of_one_machine(endpoint))

    def opened(self, transport: Transport, host: str | None) -> Transport:
        """The transport of a device whose ports are at `host`."""
        if host is None or self.has_ports_of(host) or not is_of_one_machine(transport.endpoint):
            return transport
        return self.elsewhere(transport, host)

    def host_of_new(self, name: str, host: str | None, new: Iterable[str]) -> str | None:
        """The host of the ports of the device `name`, which had them at `host` and gets `new` endpoints at this one.

        ConfigError when they would be at two hosts: one board has one cable.
        """
        ports = [endpoint for endpoint in new if is_of_one_machine(endpoint)]
        if not ports or self.name is None:
            return host
        if not self.has_ports_of(host):
            raise ConfigError(
                f"{name} is on the machine of the host {host}, and {ports[0]} would be on {self.name}'s",
                next_step=f"add it at the host {host}; if the board moved: microclaw device remove {name}, then add it",
            )
        return self.name


ONLY_MACHINE: Final = Machine()


def merged_host(name: str, host: str | None, other_name: str, other: str | None) -> str | None:
    """The host that has the ports of two entries for one board. ConfigError when at two machines."""
    if None not in (host, other) and host != other:
        text = f"{name} is on the machine of the host {host}, {other_name} on {other}'s: not one board"
        raise ConfigError(text, next_step=f"if the board moved: microclaw device remove {name}, or {other_name}")
    return host or other
