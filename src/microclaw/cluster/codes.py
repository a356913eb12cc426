"""Devices' codes that are typed at another host than the one that the device reached, which alone pairs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from microclaw.auth.pairing import HostIdentity, Wish
from microclaw.cluster.requests import HostRequests, first_answer

PAIR_S: Final = 20.0


def share_codes(requests: HostRequests, identity: HostIdentity) -> None:
    """Codes that devices show at this host are good at the others, and theirs here, while `requests` are served."""

    async def pair_here(body: bytes) -> AsyncGenerator[bytes, None]:
        digest, wish = msgspec.msgpack.decode(body, type=tuple[bytes, Wish])
        yield (await identity.pair_shown(digest, wish)).encode()

    async def pair_there(host: str, digest: bytes, wish: Wish) -> str | None:
        answer = await first_answer(requests, host, "pair", msgspec.msgpack.encode((digest, wish)), PAIR_S)
        return None if answer is None else answer.decode()

    requests.handlers["pair"] = pair_here
    identity.ask_host = pair_there
