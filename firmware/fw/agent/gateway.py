"""The board's own chat gateway (docs/protocols/chat-gateway.md): a WebSocket on port 18789, MimiClaw's JSON, a token.

It opens only with a token. There is no TLS here: the token and what is said are in clear on the local network.
"""

import asyncio
import binascii
import hashlib
import json
import struct
import sys

from websocket import Closed, WebSocket

from agent.text import loads

PORT = 18789
MAX_CLIENTS = 4
MAX_CONNECTIONS = 8  # with those that said nothing yet
MAX_MESSAGE_BYTES = 65536
MAX_CONTENT_BYTES = 4000
MAX_CHAT_ID_BYTES = 31
MAX_WRONG = 10  # tokens, a minute
MAX_WAITING = 8  # answers for clients that went away
HEAD_S = 10
CLOSE_S = 1
SEND_S = 10
PING_S = 30
PONG_S = 15
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests"}


class Client(WebSocket):
    """The server's end. `receive` gives a text; Closed at the end, for our reason too."""

    def __init__(self, stream, number):
        super().__init__(stream)
        self.chat_id = "ws_{}".format(number)
        self.task = asyncio.current_task()
        self.heard_ms = self.pinged_ms = None

    async def receive(self):
        whole = None
        while True:
            first, second, size = await self.head()
            opcode = first & 15
            if first & 0x70 or not second & 0x80 or (opcode & 8 and (size > 125 or not first & 0x80)):
                raise Closed(1002, "not a frame of a WebSocket")
            if not opcode & 8 and opcode != (1 if whole is None else 0) and not (opcode == 2 and whole is None):
                raise Closed(1002, "frames out of order")
            if size + len(whole or b"") > MAX_MESSAGE_BYTES:
                raise Closed(1009, "a message of more than {} bytes".format(MAX_MESSAGE_BYTES))
            mask = bytes(await self.read(4))
            data = await self.read(size)
            _unmask(data, mask)
            self.heard_ms = None
            if opcode & 8:
                await self._control(opcode, data)
                continue
            if opcode == 2:
                return None
            whole = data if whole is None else whole + data
            if first & 0x80:
                try:
                    return str(whole, "utf-8")
                except ValueError:
                    raise Closed(1007, "not UTF-8")

    async def _control(self, opcode, data):
        if opcode == 9:
            await self._send(10, data)
        elif opcode == 8:
            raise Closed(1000)

    async def _send(self, opcode, data):
        size = len(data)
        frame = bytearray((0x80 | opcode, size if size < 126 else 126))
        if size > 125:
            frame.extend(struct.pack(">H", size))
        frame.extend(data)
        await asyncio.wait_for(self._write(frame), SEND_S)

    async def _write(self, frame):
        async with self._lock:
            self._stream.write(frame)
            await self._stream.drain()

    async def drop_rest(self):
        """What is left unread would make a reset of the end, and lose the code."""
        while True:
            await self._fill()

    async def say(self, message):
        await self._send(1, json.dumps(message).encode())


class Gateway:
    """`take(channel, chat_id, text)` answers None, or the code of the refusal."""

    def __init__(self, options, take, now_ms):
        self._options = options
        self._take = take
        self._now_ms = now_ms
        self._clients = []
        self._open = self._number = 0
        self._wrong = []  # when wrong tokens came
        self._waiting = []  # (chat id, text) of answers without a client
        self.server = None

    async def run(self):
        """Open while there is a token; for ever."""
        while True:
            wanted = bool(self._options.get("gateway_token"))
            if wanted and self.server is None:
                try:
                    self.server = await asyncio.start_server(
                        self._serve, "0.0.0.0", self._options.get("gateway_port", PORT), MAX_CONNECTIONS
                    )
                except OSError as exc:
                    print("the chat gateway does not open: {}".format(exc))
                    await asyncio.sleep(30)
            elif not wanted and self.server is not None:
                self.server.close()
                self.server = None
                for client in self._clients:
                    client.task.cancel()
            await asyncio.sleep(1)
            await self._ping()

    async def deliver(self, chat_id, text):
        """To each client of that chat; it waits for one where there is none, with at most eight."""
        there = [client for client in self._clients if client.chat_id == chat_id]
        if not there:
            self._waiting.append((chat_id, text))
            del self._waiting[:-MAX_WAITING]
        for client in there:
            try:
                await client.say({"type": "response", "content": text, "chat_id": chat_id})
            except (OSError, asyncio.TimeoutError):
                client.task.cancel()

    async def _ping(self):
        now = self._now_ms()
        for client in list(self._clients):
            if client.heard_ms is None:
                client.heard_ms, client.pinged_ms = now, None
            elif client.pinged_ms is None and now - client.heard_ms >= PING_S * 1000:
                client.pinged_ms = now
                try:
                    await client._send(9, b"")
                except (OSError, asyncio.TimeoutError):
                    client.task.cancel()
            elif client.pinged_ms is not None and now - client.pinged_ms >= PONG_S * 1000:
                client.task.cancel()

    # One connection

    async def _serve(self, reader, _):
        self._open += 1
        client = None
        try:
            if self._open <= MAX_CONNECTIONS:
                self._number += 1
                client = Client(reader, self._number)
                if await asyncio.wait_for(self._upgrade(client), HEAD_S):
                    await self._talk(client)
        except (OSError, Closed, ValueError, IndexError, asyncio.TimeoutError, asyncio.CancelledError):
            pass  # this connection is over
        except Exception as exc:  # a defect, or no memory: the others go on
            sys.print_exception(exc)
        finally:
            self._open -= 1
            if client in self._clients:
                self._clients.remove(client)
            reader.close()
            await reader.wait_closed()

    async def _upgrade(self, client):
        """Whether it is a client now."""
        verb, path, _ = (await client.line()).split(b" ")
        headers = await client.headers()
        status = self._refusal(verb, path, headers)
        if status:
            text = "HTTP/1.1 {} {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".format(status, _STATUS[status])
            await client._write(text.encode())
            return False
        digest = hashlib.sha1(headers[b"sec-websocket-key"] + _GUID).digest()
        text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        text += binascii.b2a_base64(digest).decode().strip() + "\r\n"
        if headers.get(b"sec-websocket-protocol"):
            text += "Sec-WebSocket-Protocol: microclaw.chat\r\n"
        await client._write((text + "\r\n").encode())
        return True

    def _refusal(self, verb, path, headers):
        """The HTTP status of one that may not come in, 0 otherwise."""
        if path not in (b"/", b"/ws"):
            return 404
        is_upgrade = headers.get(b"upgrade", b"").lower() == b"websocket" and headers.get(b"sec-websocket-key")
        if verb != b"GET" or not is_upgrade or headers.get(b"sec-websocket-version") != b"13":
            return 400
        origin = headers.get(b"origin")
        if origin is not None and origin != b"http://" + headers.get(b"host", b""):
            return 403
        given = headers.get(b"authorization", b"")
        given = given[7:] if given[:7].lower() == b"bearer " else b""
        names = [name.strip() for name in headers.get(b"sec-websocket-protocol", b"").split(b",")]
        if not given:
            given = b"".join([name[7:] for name in names if name.startswith(b"bearer.")][:1])
        if names != [b""] and b"microclaw.chat" not in names:
            return 400
        if _digest(given) == _digest(self._options.get("gateway_token", "").encode()) and given:
            return 0
        now = self._now_ms()
        self._wrong = [at for at in self._wrong if now - at < 60000]
        if len(self._wrong) >= MAX_WRONG:
            return 429
        self._wrong.append(now)
        return 401

    async def _talk(self, client):
        if len(self._clients) >= MAX_CLIENTS:
            await client._send(8, struct.pack(">H", 1013) + b"too many clients; come again later")
            return
        self._clients.append(client)
        try:
            while True:
                text = await client.receive()
                error = await self._message(client, text)
                if error is not None:
                    await client.say({"type": "error", "code": error[0], "message": error[1]})
                await asyncio.sleep_ms(5)  # a flood leaves the programs their time
        except Closed as exc:
            if exc.code is not None:
                await client._send(8, struct.pack(">H", exc.code) + exc.reason.encode())
                await asyncio.wait_for(client.drop_rest(), CLOSE_S)
            raise

    async def _message(self, client, text):
        """(code, words) of what cannot be taken."""
        try:
            message = None if text is None else loads(text.encode())
        except ValueError:
            message = None
        if not isinstance(message, dict):
            return "bad_json", "a message is one JSON object"
        kind = message.get("type")
        if not isinstance(kind, str):
            return "bad_message", 'a message has "type", a text'
        if kind == "ping":
            pong = {"type": "pong"}
            ts = message.get("ts")
            if isinstance(ts, (int, float)) or (isinstance(ts, str) and len(ts) <= 64):
                pong["ts"] = ts
            await client.say(pong)
        if kind != "message":
            return None
        content, chat_id = message.get("content"), message.get("chat_id", client.chat_id)
        if chat_id == "":
            chat_id = client.chat_id
        if not isinstance(content, str) or not content.strip():
            return "bad_message", '"message" has "content", a text that is not empty'
        if not isinstance(chat_id, str):
            return "bad_message", '"chat_id" is a text'
        size = len(chat_id.encode())
        if size > MAX_CHAT_ID_BYTES:
            words = '"chat_id" has {} bytes, at most {} are allowed'.format(size, MAX_CHAT_ID_BYTES)
            return "chat_id_too_long", words
        size = len(content.encode())
        if size > MAX_CONTENT_BYTES:
            return "message_too_long", "the content has {} bytes, at most {} are read".format(size, MAX_CONTENT_BYTES)
        client.chat_id = chat_id
        mine = [row for row in self._waiting if row[0] == chat_id]
        self._waiting = [row for row in self._waiting if row[0] != chat_id]
        for row in mine:
            await self.deliver(*row)
        return self._take("websocket", chat_id, content)


def _digest(token):
    """So that how long a comparison takes says nothing."""
    return hashlib.sha256(token).digest()


def _unmask(data, mask):
    """In place; whole numbers, as a loop over bytes is fifty times slower."""
    view = memoryview(data)
    for at in range(0, len(data), 256):
        n = min(256, len(data) - at)
        key = int.from_bytes((mask * 64)[:n], "big")
        view[at : at + n] = (int.from_bytes(bytes(view[at : at + n]), "big") ^ key).to_bytes(n, "big")
