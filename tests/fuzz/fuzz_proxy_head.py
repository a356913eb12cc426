"""Fuzz target: any bytes as the head of a request to the proxy; what is accepted can be written again without doubt."""

from __future__ import annotations

import h11

from microclaw.host.egress.destinations import host_mistake
from microclaw.host.egress.request_head import FRAMING, RequestHeadRefused, read_head


def fuzz_one(data: bytes) -> None:
    head = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    try:
        request = read_head(head, h11.Connection(h11.SERVER))
    except RequestHeadRefused:
        return
    named = [name.lower() for name, _ in request.headers]
    assert host_mistake(request.host) is None
    assert request.port is None or 1 <= request.port <= 65535
    assert sum(name in FRAMING for name in named) <= 1
    written = [request.method, request.path, request.host, *(v.decode("latin-1") for h in request.headers for v in h)]
    assert not any(set(text) & {"\r", "\n", "\0"} for text in written)
    assert request.tunnel or request.path.startswith("/")
