"""Maps the ports of a device to the machine of a host, in a cluster that shares its devices. It opens nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from microclaw.addresses import is_of_one_machine
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.transport import Transport
from microclaw.errors import ConfigError


class PortMachine(Struct, frozen=True):
    """This host's machine, by the host's name; None for a host without a cluster, which has every port itself.

    `elsewhere` takes the transport that would open a port here and the name of another host, and returns the transport
    of the same port at that host.
    """

    name: str | None = None
    elsewhere: Callable[[Transport, str], Transport] = lambda transport, _host: transport

    def has_ports_of(self, host: str | None) -> bool:
        """Return True if the ports that belong to `host` may be here; None is any host."""
        return self.name is None or host is None or host == self.name

    def has(self, device: Device, endpoint: str) -> bool:
        """Return True if the endpoint is one of the device's, and not a port of another machine."""
        return endpoint in device.endpoints and (self.has_ports_of(device.host) or not is_of_one_machine(endpoint))

    def opened(self, transport: Transport, host: str | None) -> Transport:
        """Return the transport of a device whose ports are at `host`."""
        if host is None or self.has_ports_of(host) or not is_of_one_machine(transport.endpoint):
            return transport
        return self.elsewhere(transport, host)

    def host_of_new(self, name: str, host: str | None, new: Iterable[str]) -> str | None:
        """Return the host of the ports of the device `name` once it has the `new` endpoints at this host too.

        `host` has the ports that the device had before. Raises ConfigError if they would be at two hosts: one board has
        one cable.
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


ONLY_MACHINE: Final = PortMachine()


def merged_host(name: str, host: str | None, other_name: str, other: str | None) -> str | None:
    """Return the host that has the ports of two entries for one board; raise ConfigError if they are at two."""
    if None not in (host, other) and host != other:
        text = f"{name} is on the machine of the host {host}, {other_name} on {other}'s: not one board"
        raise ConfigError(text, next_step=f"if the board moved: microclaw device remove {name}, or {other_name}")
    return host or other
