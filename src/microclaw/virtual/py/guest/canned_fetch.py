"""https requests of programs in a trial: answers of the expectations' lines, as plain HTTP. Asks nobody."""

from errno import ENOBUFS

import fetch


class CannedFetches:
    """In place of fetch.Fetches: `ask` alone."""

    async def ask(self, env, request, data):
        host, port = fetch.place(request["url"])
        socket = env.module("socket").socket()
        socket.settimeout(request["timeout_ms"] / 1000)
        try:
            await socket.connect((host, port))
            await socket.sendall(_head(request, host) + data)
            status, headers, body = _parsed(await socket.read())
        finally:
            socket.close()
        if len(body) > request["most"]:
            raise OSError(ENOBUFS, "an answer of %d bytes, at most %d" % (len(body), request["most"]))
        return status, headers, body


def _head(request, host):
    lines = ["%s %s HTTP/1.1" % (request["method"], _path(request["url"])), "Host: " + host, "Connection: close"]
    if request["size"]:
        lines.append("Content-Length: %d" % request["size"])
    for name, value in request["headers"].items():
        lines.append("%s: %s" % (name, value))
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _path(url):
    """Return the path and query of an address; its host ends at the first of "/?#"."""
    place, mark, query = url[8:].partition("#")[0].partition("?")
    return "/" + place.partition("/")[2] + mark + query


def _parsed(answer):
    """Return status, headers and body of an answer that ends with its connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(first.split(" ")[1]), headers, body
