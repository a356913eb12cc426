"""Reaches the host by verified TLS: where it was last, by its name, by its other name."""

import _thread
import asyncio
import calendar
import gc
import socket

import tls
import websocket
from binding import once
from micropython import const
from websocket import Closed

# Every host's certificate names it, wherever the host is.
SERVER_NAME = "host.microclaw.internal"
CONNECT_S = 10
# With the TLS handshake, which a weak radio or a busy program makes long.
UPGRADE_S = 20
_MAX_WHY = const(120)


async def open_link(settings, board):
    """Open the link's WebSocket, before any message; ValueError or OSError if the host is wrong or unreachable."""
    authority = settings.authority()
    if authority is None or not calendar.is_set():
        authority = await once("authority").fetch(settings, board, dial)
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    # `tls` takes DER; for `ssl` this would be the name of a file.
    context.load_verify_locations(authority)
    gc.collect()
    host = "{}:{}".format(settings.get("host"), settings.get("port", 8443))
    ws, address = await dial(settings, context, lambda ws: ws.upgrade(host, settings.token))
    settings.keep_address(address)
    return ws


async def dial(settings, context, then):
    """Return an open connection to the first address where `then` succeeds, and that address.

    Raises OSError, which says why each address failed.
    """
    failed = []
    tried = []
    for place in (settings.address, settings.get("host"), settings.get("host_name")):
        if not place:
            continue
        ws = None
        try:
            address = await address_of(place)
            if address in tried:
                continue
            tried.append(address)
            port = settings.get("port", 8443)
            ws = await asyncio.wait_for(websocket.connect(address, port, context, SERVER_NAME), CONNECT_S)
            await asyncio.wait_for(then(ws), UPGRADE_S)
            return ws, address
        except (OSError, ValueError, Closed, asyncio.TimeoutError) as exc:
            if isinstance(exc, (OSError, ValueError)):
                why = str(exc).strip()
            else:
                why = ""
            failed.append("{}: {}".format(place, why.replace("\n", ", ")[:_MAX_WHY] or "no answer"))
            if ws is not None:
                ws.abort()
            ws = None
            # There is memory for one TLS session only.
            gc.collect()
    raise OSError("; ".join(failed) or "no host was told")


async def address_of(place):
    """Return the IPv4 address of a name, also of mDNS.

    The lookup runs in a thread: a silent name server (10 s) must not hold anything up.
    """
    if place.replace(".", "").isdigit():
        return place
    result = [None]
    _thread.start_new_thread(_look_up, (place, result))
    while result[0] is None:
        await asyncio.sleep_ms(20)
    if isinstance(result[0], tuple):
        return result[0][0]
    if isinstance(result[0], Exception):
        raise OSError(str(result[0]))
    # The unix port returns a packed address.
    return ".".join(str(part) for part in socket.sockaddr(result[0])[1])


def _look_up(place, result):
    try:
        result[0] = socket.getaddrinfo(place, 0, socket.AF_INET, socket.SOCK_STREAM)[0][-1]
    except Exception as exc:
        # MemoryError too: another task waits for the result.
        result[0] = exc
