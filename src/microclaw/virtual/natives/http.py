"""The firmware's HTTP native, one function of many calls: reads their arguments. The client is network/http_client.py.

argv is an array of 32-bit words; some answers come in its first one. Of the firmware's habits: a wrong argc is refused,
texts come back without a NUL, and the header of no such name leaves the first word as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import unpack
from typing import Final

from microclaw.virtual.network.access import MAX_CLIENTS
from microclaw.virtual.network.http_client import (
    FAIL,
    INVALID_ARG,
    MAX_BODY_BYTES,
    METHODS,
    HttpClient,
    HttpEvent,
    HttpFailed,
)
from microclaw.virtual.runtime.binding import Handler
from microclaw.virtual.runtime.exec_env import ExecEnv
from microclaw.virtual.runtime.memory import WasmTrap

_MAX_TEXT_BYTES: Final = 16_384
_TCP = 1
_SSL = 2
_URL: Final = 6
_OPEN: Final = 3


def _call(env: ExecEnv, number: int, count: int, argv: int) -> int:
    if number < 0:
        raise WasmTrap(f"wasm_http_client_call_native_func({number}): the firmware would read before its table")
    if number >= len(_COUNTS) or (count & 0xFFFFFFFF) != _COUNTS[number]:
        return INVALID_ARG
    words = unpack(f"<{count}I", env.memory.read(argv, 4 * count))
    try:
        if number == 0:
            _init(env, argv, words)
            return 0
        client = env.network.client(env.network.http, words[1])
        if client is None:
            return INVALID_ARG
        return _CALLS[number - 1](env, client, argv, words) or 0
    except HttpFailed as exc:
        return exc.code


def _text(env: ExecEnv, address: int) -> str:
    """Read a text; a null pointer is an empty one: these are no pointers to the runtime, which would move it."""
    if address:
        return env.memory.string(address, _MAX_TEXT_BYTES).decode("utf-8", "replace")
    return ""


def _signed(word: int) -> int:
    if word >> 31:
        return word - (1 << 32)
    return word


def _init(env: ExecEnv, argv: int, words: tuple[int, ...]) -> None:
    network = env.network

    def text(place: int) -> str:
        return _text(env, words[place])

    if words[27] or words[10]:
        network.access.say("http", "is_async and client_cert_pem are not imitated here")
        raise HttpFailed
    url = text(0) or _join_url(env, words)

    def on_event(event: HttpEvent, first: bytes, second: bytes) -> None:
        _tell(env, words[22], words[26], event, first, second)

    client = HttpClient(network.access, on_event)
    client.username = text(3)
    client.password = text(4)
    client.cert_pem = text(8)
    client.user_agent = text(16)
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
    env.memory.write_u32(argv, handle)


def _join_url(env: ExecEnv, words: tuple[int, ...]) -> str:
    """Build the address of a client that has host, port, path and query in place of one; "" without a host."""
    host = _text(env, words[1])
    if not host:
        return ""
    scheme = "http"
    if words[23] == _SSL:
        scheme = "https"
    if words[2]:
        host += f":{words[2]}"
    path = _text(env, words[6]) or "/"
    if words[7]:
        path += f"?{_text(env, words[7])}"
    return f"{scheme}://{host}{path}"


def _tell(env: ExecEnv, callback: int, user: int, event: HttpEvent, first: bytes, second: bytes) -> None:
    """Call the app's function with copies that live as long as the call; without room in the heap it hears nothing."""
    texts: list[bytes] = []
    if event is HttpEvent.HEADER:
        texts = [first, second]
    elif first:
        texts = [first]
    copies = []
    try:
        for text in texts:
            copy = env.allocate(max(1, len(text)))
            if not copy:
                return
            copies.append(copy)
            env.memory.write(copy, text)
        # A header has two texts, data a text and its length, any other event nothing.
        arguments = [*copies, len(first), 0]
        env.call_table(callback, event.value, user, arguments[0], arguments[1])
    finally:
        for copy in copies:
            env.heap.free(copy)


def _set_text(env: ExecEnv, client: HttpClient, _argv: int, words: tuple[int, ...]) -> int | None:
    what, _, address, extra = words
    match what:
        case 0:
            client.set_url(_text(env, address))
        case 1 | 6:
            if not 0 <= _signed(extra) <= MAX_BODY_BYTES:
                raise HttpFailed
            if address:
                data = env.memory.read(address, extra)
            else:
                data = b""
            if what == 6:
                return client.write(data)
            client.post_data = data
        case 2 if extra:
            client.set_header(_text(env, address), _text(env, extra))
        case 3:
            client.username = _text(env, address)
        case 4:
            client.password = _text(env, address)
        case 2 | 5:
            client.set_header(_text(env, address), None)
        case _:
            raise HttpFailed(INVALID_ARG)
    return None


def _get_text(env: ExecEnv, client: HttpClient, argv: int, words: tuple[int, ...]) -> int | None:
    what, _, buffer, size = words[:4]
    if what in (4, 5):
        if size > MAX_BODY_BYTES:
            raise HttpFailed
        env.memory.check(buffer, size)
        if what == 5:
            data = client.read_all(size)
        else:
            data = client.read(size)
        env.memory.write(buffer, data)
        return len(data)
    if what == 1:
        header = client.headers.get(_text(env, buffer).lower())
        if header is None:
            return None
        text = header[1].encode()
        size, buffer = words[3:]
    elif what == _URL:
        text = client.url.encode()
    else:
        raise HttpFailed(INVALID_ARG)
    if size and size == len(text):
        env.memory.write(buffer, text)
    env.memory.write_u32(argv, len(text))
    return None


def _set_number(_env: ExecEnv, client: HttpClient, _argv: int, words: tuple[int, ...]) -> None:
    what, _, value = words
    if what == 1 and value >= len(METHODS):
        raise HttpFailed
    if what > _OPEN:
        raise HttpFailed(INVALID_ARG)
    if what == _OPEN:
        client.open(_signed(value))
    else:
        setattr(client, ("auth", "method", "timeout_ms")[what], value)


def _transport(client: HttpClient) -> int:
    if client.url.startswith("https:"):
        return _SSL
    return _TCP


_NUMBERS: Final[Mapping[int, Callable[[HttpClient], int]]] = {
    1: HttpClient.fetch_headers,
    3: lambda client: client.status,
    4: lambda client: client.content_length,
    5: _transport,
    6: lambda client: int(client.is_complete),
}
"""Missing: errno, whether the body is chunked, how much is flushed, the length of a chunk."""


def _get_number(env: ExecEnv, client: HttpClient, argv: int, words: tuple[int, ...]) -> None:
    if words[0] not in _NUMBERS:
        raise HttpFailed(INVALID_ARG)
    try:
        value = _NUMBERS[words[0]](client)
    except HttpFailed:
        value = FAIL
    env.memory.write_u32(argv, value)
    if value == FAIL:
        raise HttpFailed


def _do(env: ExecEnv, client: HttpClient, _argv: int, words: tuple[int, ...]) -> None:
    what, handle = words
    if what not in _ACTS:
        raise HttpFailed(INVALID_ARG)
    _ACTS[what](client)
    if what == _CLEANUP:
        del env.network.http[handle]


_CLEANUP: Final = 2
_ACTS: Final[Mapping[int, Callable[[HttpClient], None]]] = {
    0: HttpClient.perform,
    1: HttpClient.close,
    _CLEANUP: HttpClient.close,
    3: HttpClient.follow,
    # Basic authentication is sent without being asked for.
    4: lambda _: None,
}
_COUNTS: Final = (36, 4, 5, 3, 2, 2)
"""The words of each call, the first of which makes a client; for the others `what` and the handle lead."""
_CALLS: Final = (_set_text, _get_text, _set_number, _get_number, _do)
HANDLERS: dict[str, Handler] = {"wasm_http_client_call_native_func": _call}
