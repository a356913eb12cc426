"""Drops connections when too many to xiaozhi's server have not shown yet who they are. It accepts nobody.

As pairing codes (auth/pairing.py): an address has a share, and so has a range of addresses, which one machine can have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from microclaw.addresses import address_range, single_address
from microclaw.link_server.http_connection import HttpConnection

KEPT_S: Final = 3.0
"""For so long nobody takes the place of an address that has no other: a request of a device takes less."""


class _Arrival(Struct, frozen=True):
    http: HttpConnection
    network: str
    range: str
    since_s: float


class Arrivals:
    """`clock_s` is monotonic."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._arriving: list[_Arrival] = []  # the oldest first

    def enter(self, http: HttpConnection) -> None:
        address = http.address
        self._arriving = [one for one in self._arriving if one.http.is_arriving]
        self._arriving.append(_Arrival(http, single_address(address), address_range(address), self._clock_s()))

    def make_room(self, address: str) -> None:
        """End the oldest connection of who has more than this newcomer, or else one that took its time; maybe none."""
        among = [one for one in self._arriving if one.http.is_arriving]
        gone = self._who_gives_way(among, single_address(address), address_range(address))
        if gone is not None:
            gone.http.leave()  # now: the transport tells of its end later
            if gone.http.transport is not None:
                gone.http.transport.abort()

    def _who_gives_way(self, among: list[_Arrival], network: str, wide: str) -> _Arrival | None:
        if not among:
            return None
        of_range = Counter(one.range for one in among)
        largest, count = of_range.most_common(1)[0]
        if count > of_range[wide] + 1:
            among = [one for one in among if one.range == largest]
            most, _ = Counter(one.network for one in among).most_common(1)[0]
            return next(one for one in among if one.network == most)
        of_network = Counter(one.network for one in among)
        most, count = of_network.most_common(1)[0]
        if count > of_network[network] + 1:
            return next(one for one in among if one.network == most)
        return among[0] if self._clock_s() - among[0].since_s >= KEPT_S else None
