"""Requests, responses and events that apps send; their buffers are payloads of the wire's frames. Routes nothing."""

from __future__ import annotations

from typing import Final

from microclaw.virtual.runtime.binding import Handler
from microclaw.virtual.runtime.exec_env import ExecEnv

MAX_URLS: Final = 64
MAX_URL_BYTES: Final = 255


def _remember(env: ExecEnv, urls: set[str], address: int) -> None:
    # The firmware's list ends with its RAM.
    if len(urls) < MAX_URLS:
        urls.add(env.memory.string(address, MAX_URL_BYTES).decode("utf-8", "replace"))


HANDLERS: dict[str, Handler] = {
    "wasm_register_resource": lambda env, url: _remember(env, env.messages.resources, url),
    "wasm_sub_event": lambda env, url: _remember(env, env.messages.subscriptions, url),
    "wasm_response_send": lambda env, buffer, size: env.messages.respond(env.memory.read(buffer, size)),
    "wasm_post_request": lambda env, buffer, size: env.messages.request(env.memory.read(buffer, size)),
}
