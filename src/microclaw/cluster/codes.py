"""Devices' codes that are typed at another host than the one that the device reached, which alone pairs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from microclaw.auth.pairing import HostIdentity, Wish
from microclaw.cluster.requests import HostRequests

PAIR_S: Final = 20.0


def share_codes(requests: HostRequests, identity: HostIdentity) -> None:
    """Codes that devices show at this host are good at the others, and theirs here, while `requests` are served."""

    async def pair_here(asked: tuple[bytes, Wish]) -> AsyncGenerator[object, None]:
        yield await identity.pair_shown(*asked)

    async def pair_there(host: str, digest: bytes, wish: Wish) -> str | None:
        return await requests.ask_first(host, "pair", (digest, wish), str, PAIR_S)

    requests.answer("pair", tuple[bytes, Wish], pair_here)
    identity.ask_host = pair_there
