"""The hosts that lines of expectations name: their addresses, brokers, and which answer a request gets. No IO."""

from __future__ import annotations

from typing import Final, NamedTuple

from microclaw.addresses import DEFAULT_PORTS, is_ipv4
from microclaw.wire.canned_lines import Broker, BrokerAway, HttpAnswer, with_sorted_query

_HTTP_PORTS: Final = (DEFAULT_PORTS["http"], DEFAULT_PORTS["https"])
_BROKER_PORTS: Final = (DEFAULT_PORTS["mqtt"], DEFAULT_PORTS["mqtts"])
_NET: Final = "198.18"
"""The beginning of addresses for tests (RFC 2544): no program has them in its text by chance."""


class Absence(NamedTuple):
    """A broker that is away until a time of the clock's `total_ms`."""

    line: BrokerAway
    until_ms: float


class CannedHosts:
    """The servers and brokers by name."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], list[HttpAnswer]] = {}
        self._absences: list[Absence] = []
        self._brokers: dict[str, list[Broker]] = {}
        self._servers: dict[str, list[HttpAnswer]] = {}
        self._names: dict[str, str] = {}
        self._addresses: dict[str, str] = {}

    def add(self, line: HttpAnswer | Broker) -> None:
        """Add the line's host, and what answers there."""
        host = line.host.lower()
        if host not in self._addresses:
            address = self._new_address(host)
            self._addresses[host] = address
            self._names[address] = host
        if isinstance(line, Broker):
            self._brokers.setdefault(host, []).append(line)
        else:
            self._servers.setdefault(host, []).append(line)
            self._answers.setdefault((host, line.method), []).append(line)

    def look_up(self, host: str) -> str | None:
        """Return the address of a name or an address, None if it is unknown."""
        name = host.lower()
        if is_ipv4(name):
            return name
        return self._addresses.get(name)

    def name_of(self, host: str) -> str:
        """Return the name that a line has, for a name or an address."""
        name = host.lower()
        return self._names.get(name, name)

    def has_broker(self, host: str, port: int) -> bool:
        return any(_is_at(line, port, _BROKER_PORTS) for line in self._brokers.get(host, ()))

    def begin_absence(self, line: BrokerAway, now_ms: float) -> None:
        """Let a broker be away from now on; the times here are those of the clock's `total_ms`."""
        self._absences = [absence for absence in self._absences if now_ms < absence.until_ms]
        self._absences.append(Absence(line, now_ms + line.for_ms))

    def is_away(self, host: str, port: int, now_ms: float) -> bool:
        lines = [absence.line for absence in self._absences if now_ms < absence.until_ms]
        return any(line.host.lower() == host and _is_at(line, port, _BROKER_PORTS) for line in lines)

    def has_server(self, host: str, port: int) -> bool:
        return any(_is_at(line, port, _HTTP_PORTS) for line in self._servers.get(host, ()))

    def refuses(self, host: str, port: int) -> bool:
        """Return True if all that is known of the server is that it refuses."""
        lines = [line for line in self._servers.get(host, ()) if _is_at(line, port, _HTTP_PORTS)]
        return all(line.kind == "refused" for line in lines)

    def next_answer(self, host: str, port: int, method: str, target: str) -> HttpAnswer | None:
        """Return the answer to a request, None if there is no line for it. The next time the next line answers."""
        lines = self._answers.get((host, method), [])
        path = target.partition("?")[0]
        for wanted in (with_sorted_query(target), path):
            same = [line for line in lines if with_sorted_query(line.path) == wanted]
            fitting = [line for line in same if _is_at(line, port, _HTTP_PORTS)]
            if len(fitting) > 1:
                lines.remove(fitting[0])
            if fitting:
                return fitting[0]
        return None

    def _new_address(self, host: str) -> str:
        if is_ipv4(host):
            return host
        number = len(self._addresses)
        return f"{_NET}.{number // 250 % 250}.{number % 250 + 1}"


def _is_at(line: HttpAnswer | Broker | BrokerAway, port: int, usual_ports: tuple[int, ...]) -> bool:
    if line.port is None:
        return port in usual_ports
    return line.port == port
