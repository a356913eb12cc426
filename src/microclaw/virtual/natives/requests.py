"""Requests, responses and events that apps send; their buffers are payloads of the wire's frames. Routes nothing."""

from __future__ import annotations

from typing import Final

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.runtime.app import App

MAX_URLS: Final = 64
MAX_URL_BYTES: Final = 255


def _remember(app: App, urls: set[str], address: int) -> None:
    # The firmware's list ends with its RAM.
    if len(urls) < MAX_URLS:
        urls.add(app.memory.string(address, MAX_URL_BYTES).decode("utf-8", "replace"))


HANDLERS: dict[str, Handler] = {
    "wasm_register_resource": lambda app, url: _remember(app, app.resources, url),
    "wasm_sub_event": lambda app, url: _remember(app, app.subscriptions, url),
    "wasm_response_send": lambda app, buffer, size: app.manager.app_responds(app.memory.read(buffer, size)),
    "wasm_post_request": lambda app, buffer, size: app.manager.app_requests(app, app.memory.read(buffer, size)),
}
