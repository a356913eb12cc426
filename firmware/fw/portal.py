"""The board's own access point with one page, where a person chooses a Wi-Fi: used if no known network is found.

Nothing else can be seen or changed there. firmware.py loads it when it is needed, and drops it afterwards.
"""

import asyncio
import socket
import time

import networks
from errors import CallError
from micropython import const
from shown import shown

# Every access point of ESP-IDF has this address.
ADDRESS = "192.168.4.1"
_OPEN_S = const(600)
_REQUEST_S = const(8)
_MAX_HEAD_BYTES = const(2048)
_MAX_BODY_BYTES = const(1024)
_MAX_LISTED = const(20)
# Of DNS, at once.
_MAX_QUESTIONS = const(8)
_HEAD = """HTTP/1.0 {} -
Content-Type: text/html; charset=utf-8
Cache-Control: no-store
Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'
X-Content-Type-Options: nosniff
Connection: close
{}
"""
_TOP = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Wi-Fi of this board</title><style>body{font:1.1em sans-serif;margin:1em;max-width:30em}
input,select,button{font:inherit;display:block;width:100%;margin:.3em 0 1em;padding:.4em;box-sizing:border-box}</style>
<h1>Wi-Fi of this board</h1>
"""
_FORM = """<form method="post" action="/" accept-charset="utf-8">
<label>Network <select name="ssid"><option value="">(its name is below)</option>
"""
_BOTTOM = """</select></label>
<label>Its name, if it is not in the list <input name="other" maxlength="32" autocapitalize="none"></label>
<label>Password, empty for an open network <input name="password" type="password" maxlength="63"></label>
<button>Connect</button></form><p>The board hears 2.4 GHz alone, never 5 GHz.</p></html>
"""
_TRIES = """<p>The board now tries <b>{}</b>. Once it is connected, this access point is gone.
If it stays for a minute, something was wrong: <a href="/">enter it again</a>.</p></html>
"""


class Refused(Exception):
    """A refused request: the status, and words for the page."""


async def serve(board, settings, wifi):
    """Serve until a network is joined, at most ten minutes; OSError if no access point with WPA2 opens."""
    # The next one comes after five times as long.
    wifi.lost_ms = time.ticks_add(time.ticks_ms(), 4 * wifi.offer_ms)
    networks.rest(wifi)
    around = []
    try:
        for name, _ in sorted(networks.scan(wifi), key=lambda row: -row[1]):
            if name not in around and len(around) < _MAX_LISTED and shown(name) == name:
                around.append(name)
    except OSError:
        # The radio is busy: the name can be typed.
        pass
    access_point = board.open_access_point(settings.get("ap_key"))
    try:
        page = Page(settings, wifi, around, access_point.ifconfig()[0])
        await page.serve(settings.get("ap_open_s", _OPEN_S))
    finally:
        access_point.active(False)
        wifi.lost_ms = time.ticks_add(time.ticks_ms(), 4 * wifi.offer_ms)
        print("the access point is closed")


class Page:
    """One connection at a time. `settings` get what a person enters."""

    def __init__(self, settings, wifi, around, address):
        self._settings = settings
        self._wifi = wifi
        # Names of networks, the strongest first.
        self._around = around
        self.address = address
        # When a person last loaded the page.
        self._asked_ms = time.ticks_ms()
        self._news = None

    async def serve(self, seconds):
        """Serve the page for `seconds`.

        The known networks are tried each tenth of this time, but not while a person uses the page.
        """
        ports = self._settings.get("ap_ports", (80, 53))
        web = _bound(socket.SOCK_STREAM, self.address, ports[0])
        try:
            names = _bound(socket.SOCK_DGRAM, self.address, ports[1])
        except OSError:
            web.close()
            raise
        answering = asyncio.create_task(self._answer(web, names))
        print("the access point is open: http://{}/".format(self.address))
        try:
            until = time.ticks_add(time.ticks_ms(), seconds * 1000)
            tried = time.ticks_ms()
            tried_networks = self._wifi.networks
            while time.ticks_diff(until, time.ticks_ms()) > 0:
                await asyncio.sleep_ms(250)
                now = time.ticks_ms()
                is_new = tried_networks is not self._wifi.networks
                since_ms = min(time.ticks_diff(now, tried), time.ticks_diff(now, self._asked_ms))
                if not is_new and since_ms < seconds * 100:
                    continue
                if is_new:
                    tried_networks = self._wifi.networks
                    # Until the phone has its answer: joining moves the radio to another channel.
                    await asyncio.sleep(1)
                if await self._wifi.round():
                    return
                status = networks.rest(self._wifi)
                tried = time.ticks_ms()
                if is_new:
                    # With several networks, the status may belong to another.
                    why = networks.why_not(status if len(tried_networks) == 1 else None)
                    self._news = "No connection to {}: {}.".format(tried_networks[0]["ssid"], why)
        finally:
            answering.cancel()
            web.close()
            names.close()

    async def _answer(self, web, names):
        """Answer connections in turn, and questions of DNS: each name is here, so that phones open the page."""
        serving = None
        while True:
            await asyncio.sleep_ms(30)
            try:
                for _ in range(_MAX_QUESTIONS):
                    question, sender = names.recvfrom(512)
                    answer = dns_answer(question, self.address)
                    if answer is not None:
                        names.sendto(answer, sender)
            except OSError:
                # No question is waiting.
                pass
            if serving is None or serving.done():
                try:
                    serving = asyncio.create_task(self._converse(web.accept()[0]))
                except OSError:
                    # No connection is waiting.
                    pass

    async def _converse(self, connection):
        connection.setblocking(False)
        try:
            await asyncio.wait_for(self._exchange(asyncio.StreamReader(connection)), _REQUEST_S)
        except (OSError, asyncio.TimeoutError):
            # The browser went away, or was too slow.
            pass
        finally:
            connection.close()

    async def _exchange(self, stream):
        status = 200
        pieces = None
        more = ""
        try:
            method, path, body, is_ours = await _request(stream, self.address)
            if method == "GET" and (path != "/" or not is_ours):
                status = 302
                pieces = ()
                more = "Location: http://{}/\n".format(self.address)
            else:
                self._asked_ms = time.ticks_ms()
                if method == "POST" and not is_ours:
                    raise Refused(403, "Another page sent this.")
                if method == "POST" and path == "/":
                    pieces = (_TOP, _TRIES.format(_escaped(self._take(body))))
                elif method != "GET":
                    raise Refused(405, "This page is only read and sent.")
        except Refused as exc:
            status, self._news = exc.args
        stream.write(_HEAD.format(status, more).replace("\n", "\r\n"))
        if pieces is None:
            pieces = self._form()
        for piece in pieces:
            stream.write(piece)
            await stream.drain()
        await stream.drain()

    def _take(self, body):
        """Keep the network of the form; return its name."""
        fields = {}
        try:
            # The body is application/x-www-form-urlencoded.
            for pair in body.split(b"&"):
                name, _, value = pair.partition(b"=")
                first, *parts = value.replace(b"+", b" ").split(b"%")
                value = first + b"".join([bytes([int(part[:2], 16)]) + part[2:] for part in parts])
                fields[str(name, "utf-8")] = str(value, "utf-8")
        except ValueError:
            raise Refused(400, "This is no text.")
        try:
            entry = networks.entry_of(fields.get("other") or fields.get("ssid"), fields.get("password"))
            networks.put_first(self._settings, self._wifi, entry)
        except CallError as exc:
            raise Refused(400, "This cannot be: {}.".format(exc.message))
        except OSError as exc:
            raise Refused(500, "The board cannot keep it: {}.".format(exc))
        self._news = None
        return entry["ssid"]

    def _form(self):
        """Return the page, in pieces."""
        yield _TOP
        if self._news:
            yield "<p><b>{}</b></p>\n".format(_escaped(self._news))
        yield _FORM
        for name in self._around:
            yield '<option value="{0}">{0}</option>\n'.format(_escaped(name))
        yield _BOTTOM


async def _request(stream, address):
    """Return (method, path, body, whether the request is for and from our own address).

    Raises Refused if the request is too large or not valid.
    Our DNS answers each name with our address: without the last value any page could fill in the form.
    """
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > _MAX_HEAD_BYTES:
            raise Refused(413, "The request was too large.")
        await _more(stream, data, 256)
    # what is no browser may leave out host and origin
    size = 0
    is_ours = True
    try:
        lines = str(bytes(data[:end]), "utf-8").split("\r\n")
        method, path, version = lines[0].split(" ")
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.lower()
            value = value.strip()
            if name == "host":
                is_ours = is_ours and value.split(":")[0] == address
            elif name == "origin":
                is_ours = is_ours and value.partition("://")[2].split(":")[0] == address
            elif name == "content-length":
                size = int(value)
    except ValueError:
        size = -1
    if not 0 <= size < 1 << 32:
        raise Refused(400, "This is no request.")
    if size > _MAX_BODY_BYTES:
        raise Refused(413, "The request was too large.")
    while len(data) < end + 4 + size:
        await _more(stream, data, end + 4 + size - len(data))
    return method, path, bytes(data[end + 4 : end + 4 + size]), is_ours


async def _more(stream, data, most):
    piece = await stream.read(most)
    if not piece:
        raise OSError("it went away")
    data.extend(piece)


def _escaped(text):
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(char, entity)
    return text


def dns_answer(question, address):
    """Return the answer to a question for an IPv4 address (RFC 1035): this board, for any name. None if invalid."""
    if len(question) < 17 or question[2] & 0xF8 or question[4:6] != b"\0\1":
        return None
    at = 12
    while at < len(question) and question[at]:
        if question[at] > 63:
            return None
        at += question[at] + 1
    if at + 5 > len(question):
        return None
    is_ipv4 = question[at + 1 : at + 5] == b"\0\1\0\1"
    head = question[:2] + b"\x81\x80\0\1\0" + bytes([is_ipv4]) + bytes(4) + question[12 : at + 5]
    if not is_ipv4:
        return head
    return head + b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4" + bytes([int(part) for part in address.split(".")])


def _bound(kind, address, port):
    listener = socket.socket(socket.AF_INET, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(socket.getaddrinfo(address, port)[0][-1])
    if kind == socket.SOCK_STREAM:
        listener.listen(2)
    listener.setblocking(False)
    return listener
