"""HTTP before the link's WebSocket: a request, the answer's head. Functions of WebSocket, read in when needed."""

import binascii
import os


async def get(ws, host, path, headers=""):
    """Send a GET; return the status and the headers, with names in lower case. `read` then returns the body."""
    ws._stream.write("GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n".format(path, host, headers).encode())
    await ws._stream.drain()
    _, _, status = (await line(ws)).partition(b" ")
    fields = {}
    for _ in range(64):
        row = await line(ws)
        if not row:
            return int(status[:3]), fields
        name, _, value = row.partition(b":")
        fields[name.lower()] = value.strip()
    raise ValueError("an endless answer")


async def upgrade(ws, host, token):
    """Become the link's WebSocket, with the token if there is one."""
    key = binascii.b2a_base64(os.urandom(16)).strip().decode()
    headers = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: microclaw.v1\r\n".format(key)
    )
    if token:
        headers += "Authorization: Bearer {}\r\n".format(token)
    status, fields = await get(ws, host, "/link", headers)
    if status != 101 or fields.get(b"sec-websocket-protocol") != b"microclaw.v1":
        raise ValueError("no link there: HTTP {}".format(status))


async def line(ws):
    row = bytearray()
    while len(row) < 2048:
        if ws._at == ws._end:
            await ws._fill()
        cut = ws._buffer.find(b"\n", ws._at, ws._end) + 1 or ws._end
        row += memoryview(ws._buffer)[ws._at : cut]
        ws._at = cut
        if row[-1] == 10:
            return bytes(row).strip()
    raise ValueError("a line too long")
