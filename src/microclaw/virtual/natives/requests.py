"""Requests, responses and events that apps send; their buffers are payloads of the wire's frames. Routes nothing."""

from __future__ import annotations

from typing import Final

from microclaw.errors import ProtocolError
from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.runtime.process import Process
from microclaw.wire.wasmachine.request import Request, Response

MAX_URLS: Final = 64
MAX_URL_BYTES: Final = 255


def _remember(process: Process, urls: set[str], address: int) -> None:
    # The firmware's list ends with its RAM.
    if len(urls) < MAX_URLS:
        urls.add(process.memory.string(address, MAX_URL_BYTES).decode("utf-8", "replace"))


def _response_send(process: Process, buffer: int, size: int) -> int:
    payload = process.memory.read(buffer, size)
    try:
        Response.decode(payload)
    except ProtocolError:
        return 0
    process.send_response(payload)
    return 1


def _post_request(process: Process, buffer: int, size: int) -> None:
    payload = process.memory.read(buffer, size)
    try:
        Request.decode(payload)
    except ProtocolError:
        return
    process.send_request(payload)


HANDLERS: dict[str, Handler] = {
    "wasm_register_resource": lambda process, url: _remember(process, process.resources, url),
    "wasm_sub_event": lambda process, url: _remember(process, process.subscriptions, url),
    "wasm_response_send": _response_send,
    "wasm_post_request": _post_request,
}
