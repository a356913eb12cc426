"""The firmware's HTTP native, one function of many calls: reads their arguments. The client is network/http_client.py.

argv is an array of 32-bit words; some answers come in its first one. Of the firmware's habits: a wrong argc is refused,
texts come back without a NUL, and the header of no such name leaves the first word as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import unpack
from typing import Final

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.network.app_network import MAX_CLIENTS
from microclaw.virtual.network.http_client import (
    FAIL,
    INVALID_ARG,
    MAX_BODY_BYTES,
    METHODS,
    HttpClient,
    HttpEvent,
    HttpFailed,
)
from microclaw.virtual.runtime.app import App
from microclaw.virtual.runtime.memory import WasmTrap

_MAX_TEXT_BYTES: Final = 16_384
_TCP = 1
_SSL = 2
_URL: Final = 6
_OPEN: Final = 3


def _call(app: App, number: int, count: int, argv: int) -> int:
    if number < 0:
        raise WasmTrap(f"wasm_http_client_call_native_func({number}): the firmware would read before its table")
    if number >= len(_COUNTS) or (count & 0xFFFFFFFF) != _COUNTS[number]:
        return INVALID_ARG
    words = unpack(f"<{count}I", app.memory.read(argv, 4 * count))
    try:
        if number == 0:
            _init(app, argv, words)
            return 0
        client = app.network.client(app.network.http, words[1])
        if client is None:
            return INVALID_ARG
        return _CALLS[number - 1](app, client, argv, words) or 0
    except HttpFailed as exc:
        return exc.code


def _text(app: App, address: int) -> str:
    """ "" for a null pointer: these are no pointers to the runtime, which would move it."""
    if address:
        return app.memory.string(address, _MAX_TEXT_BYTES).decode("utf-8", "replace")
    return ""


def _signed(word: int) -> int:
    if word >> 31:
        return word - (1 << 32)
    return word


def _init(app: App, argv: int, words: tuple[int, ...]) -> None:
    network = app.network

    def text(place: int) -> str:
        return _text(app, words[place])

    if words[27] or words[10]:
        network.say("http", "is_async and client_cert_pem are not imitated here")
        raise HttpFailed
    url = text(0)
    host = text(1)
    if not url and host:
        if words[2]:
            port = f":{words[2]}"
        else:
            port = ""
        url = f"{'https' if words[23] == _SSL else 'http'}://{host}{port}{text(6) or '/'}"
        if words[7]:
            url += f"?{text(7)}"
    client = HttpClient(network, lambda event, a, b: _tell(app, words[22], words[26], event, a, b))
    client.username, client.password, client.cert_pem, client.user_agent = map(text, (3, 4, 8, 16))
    client.auth = words[5]
    client.method = words[17]
    client.timeout_ms = words[18]
    client.follows = not words[19]
    client.max_redirects = words[20] & 0xFF
    client.buffer_bytes = min(words[24], MAX_BODY_BYTES)
    client.uses_known_authorities = bool(words[28] or words[30])
    client.checks_name = not words[29]
    client.set_url(url)
    if len(network.http) >= MAX_CLIENTS or words[17] >= len(METHODS):
        raise HttpFailed
    handle = network.new_handle()
    network.http[handle] = client
    app.memory.write_u32(argv, handle)


def _tell(app: App, callback: int, user: int, event: HttpEvent, first: bytes, second: bytes) -> None:
    """Call the app's function with copies that live as long as the call; without room in the heap it hears nothing."""
    told = (first, second) if event is HttpEvent.HEADER else (first,) if first else ()
    copies = []
    try:
        for data in told:
            copies.append(app.allocate(max(1, len(data))))
            if not copies[-1]:
                return
            app.memory.write(copies[-1], data)
        a, b = (*copies, len(first), 0)[:2]
        app.call_table(callback, event.value, user, a, b)
    finally:
        for copy in filter(None, copies):
            app.heap.free(copy)


def _set_text(app: App, client: HttpClient, _argv: int, words: tuple[int, ...]) -> int | None:
    what, _, address, extra = words
    match what:
        case 0:
            client.set_url(_text(app, address))
        case 1 | 6:
            if not 0 <= _signed(extra) <= MAX_BODY_BYTES:
                raise HttpFailed
            if address:
                data = app.memory.read(address, extra)
            else:
                data = b""
            if what == 6:
                return client.write(data)
            client.post_data = data
        case 2:
            client.set_header(_text(app, address), _text(app, extra) if extra else None)
        case 3:
            client.username = _text(app, address)
        case 4:
            client.password = _text(app, address)
        case 5:
            client.set_header(_text(app, address), None)
        case _:
            raise HttpFailed(INVALID_ARG)
    return None


def _get_text(app: App, client: HttpClient, argv: int, words: tuple[int, ...]) -> int | None:
    what, _, buffer, size = words[:4]
    if what in (4, 5):
        if size > MAX_BODY_BYTES:
            raise HttpFailed
        app.memory.check(buffer, size)
        if what == 5:
            data = client.read_all(size)
        else:
            data = client.read(size)
        app.memory.write(buffer, data)
        return len(data)
    if what == 1:
        found = client.headers.get(_text(app, buffer).lower())
        if found is None:
            return None
        text, (size, buffer) = found[1].encode(), words[3:]
    elif what == _URL:
        text = client.url.encode()
    else:
        raise HttpFailed(INVALID_ARG)
    if size and size == len(text):
        app.memory.write(buffer, text)
    app.memory.write_u32(argv, len(text))
    return None


def _set_number(_app: App, client: HttpClient, _argv: int, words: tuple[int, ...]) -> None:
    what, _, value = words
    if what == 1 and value >= len(METHODS):
        raise HttpFailed
    if what > _OPEN:
        raise HttpFailed(INVALID_ARG)
    if what == _OPEN:
        client.open(_signed(value))
    else:
        setattr(client, ("auth", "method", "timeout_ms")[what], value)


_NUMBERS: Final[Mapping[int, Callable[[HttpClient], int]]] = {
    1: HttpClient.fetch_headers,
    3: lambda client: client.status,
    4: lambda client: client.content_length,
    5: lambda client: _SSL if client.url.startswith("https:") else _TCP,
    6: lambda client: int(client.is_complete),
}  # missing: errno, whether the body is chunked, what is flushed, the length of a chunk


def _get_number(app: App, client: HttpClient, argv: int, words: tuple[int, ...]) -> None:
    if words[0] not in _NUMBERS:
        raise HttpFailed(INVALID_ARG)
    try:
        value = _NUMBERS[words[0]](client)
    except HttpFailed:
        value = FAIL
    app.memory.write_u32(argv, value)
    if value == FAIL:
        raise HttpFailed


def _do(app: App, client: HttpClient, _argv: int, words: tuple[int, ...]) -> None:
    what, handle = words
    if what not in _ACTS:
        raise HttpFailed(INVALID_ARG)
    _ACTS[what](client)
    if what == _CLEANUP:
        del app.network.http[handle]


_CLEANUP: Final = 2
_ACTS: Final[Mapping[int, Callable[[HttpClient], None]]] = {
    0: HttpClient.perform,
    1: HttpClient.close,
    _CLEANUP: HttpClient.close,
    3: HttpClient.follow,
    4: lambda _: None,  # basic authentication is sent without being asked for
}
_COUNTS: Final = (36, 4, 5, 3, 2, 2)
"""The words of each call, the first of which makes a client; for the others `what` and the handle lead."""
_CALLS: Final = (_set_text, _get_text, _set_number, _get_number, _do)
HANDLERS: dict[str, Handler] = {"wasm_http_client_call_native_func": _call}
