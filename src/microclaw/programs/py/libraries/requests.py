"""HTTP with the names of MicroPython's `requests`: http:// over a socket, https:// by the host, which has certificates.

The whole body is read at once, up to MAX_BODY bytes, so that `text` and `json()` wait for nothing.
"""

from binascii import b2a_base64
from errno import EINVAL
from io import BytesIO
from json import dumps, loads

MAX_BODY = 8192
_MAX_HEAD = 4096
_MAX_REDIRECTS = 5
_PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
_REDIRECTS = (301, 302, 303, 307, 308)


class Response:
    """The answer of a server."""

    def __init__(self, status_code, reason, headers, content):
        self.status_code = status_code
        self.reason = reason
        self.headers = headers
        self.content = content
        self.encoding = "utf-8"

    @property
    def text(self):
        return str(self.content, self.encoding)

    @property
    def raw(self):
        return BytesIO(self.content)

    def json(self):
        return loads(self.content)

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def request(method, url, data=None, json=None, headers=None, stream=None, auth=None, timeout=None, parse_headers=True):
    """Ask a server, and follow redirects; OSError if it cannot be reached, or if its answer is too long."""
    sent = dict(headers or {})
    if json is not None:
        data = dumps(json)
        _add_type(sent, "application/json")
    elif isinstance(data, dict):
        data = form(data)
        _add_type(sent, "application/x-www-form-urlencoded")
    if isinstance(data, str):
        data = data.encode()
    if auth is not None:
        sent["Authorization"] = "Basic " + str(b2a_base64("%s:%s" % auth), "ascii").strip()
    for _ in range(_MAX_REDIRECTS):
        response = _ask_once(method, url, data, sent, timeout)
        target = _header(response.headers, "location")
        if response.status_code not in _REDIRECTS or target is None:
            return response
        if _origin(_absolute(url, target)) != _origin(url):
            # A password is for the server that it was written for.
            sent.pop("Authorization", None)
        url = _absolute(url, target)
        if response.status_code in (301, 302, 303) and method != "HEAD":
            method = "GET"
            data = None
    raise OSError("%s leads from one address to the next" % url)


def get(url, **arguments):
    return request("GET", url, **arguments)


def head(url, **arguments):
    return request("HEAD", url, **arguments)


def post(url, data=None, **arguments):
    return request("POST", url, data, **arguments)


def put(url, data=None, **arguments):
    return request("PUT", url, data, **arguments)


def patch(url, data=None, **arguments):
    return request("PATCH", url, data, **arguments)


def delete(url, **arguments):
    return request("DELETE", url, **arguments)


def _ask_once(method, url, data, headers, timeout):
    # Each is read in with its first use: both together are 7 KB, which a small board has not.
    if url.startswith("https://"):
        import microclaw

        status, answered, content = microclaw.fetch(method, url, headers, data, timeout or 10)
        return Response(status, "", answered, content)
    if not url.startswith("http://"):
        raise ValueError("%s does not begin with http:// or https://" % url)
    import socket

    place = _origin(url)
    host, _, port = place[7:].partition(":")
    connection = socket.socket()
    try:
        if timeout is not None:
            connection.settimeout(timeout)
        connection.connect(socket.getaddrinfo(host, int(port or 80))[0][-1])
        connection.sendall(_request_bytes(method, url[len(place) :], place[7:], data, headers))
        return _read_response(connection, method)
    finally:
        connection.close()


def _request_bytes(method, path, host, data, headers):
    if not path.startswith("/"):
        path = "/" + path
    lines = ["%s %s HTTP/1.0" % (method, path.split("#")[0])]
    if _header(headers, "host") is None:
        lines.append("Host: " + host)
    lines.append("Connection: close")
    for name, value in headers.items():
        lines.append("%s: %s" % (name, value))
    if data is not None:
        lines.append("Content-Length: %d" % len(data))
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (data or b"")


def _read_response(connection, method):
    line = connection.readline()
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise OSError(EINVAL, "no answer of HTTP: %r" % line[:40])
    status = int(words[1])
    reason = ""
    if len(words) > 2:
        reason = str(words[2], "utf-8").strip()
    headers = {}
    size = len(line)
    while True:
        line = connection.readline()
        size += len(line)
        if size > _MAX_HEAD:
            raise OSError("the head of the answer has more than %d bytes" % _MAX_HEAD)
        name, _, value = str(line, "utf-8").partition(":")
        if not name.strip():
            break
        headers[name.strip()] = value.strip()
    if method == "HEAD" or status in (204, 304):
        return Response(status, reason, headers, b"")
    return Response(status, reason, headers, _read_body(connection, headers))


def _read_body(connection, headers):
    if "chunked" in (_header(headers, "transfer-encoding") or "").lower():
        return _read_chunks(connection)
    length = _header(headers, "content-length")
    if length is None:
        content = connection.read(MAX_BODY + 1)
        _check_length(len(content))
        return content
    _check_length(int(length))
    content = connection.read(int(length))
    if len(content) < int(length):
        raise OSError("the answer ended after %d of %s bytes" % (len(content), length))
    return content


def _read_chunks(connection):
    content = b""
    while True:
        line = connection.readline()
        try:
            length = int(line.split(b";")[0], 16)
        except ValueError:
            raise OSError(EINVAL, "the answer ended, or has no length, after %d bytes" % len(content)) from None
        _check_length(len(content) + length)
        if not length:
            return content
        chunk = connection.read(length)
        content += chunk
        if len(chunk) < length:
            raise OSError("the answer ended after %d bytes, in the middle" % len(content))
        connection.readline()


def _check_length(length):
    if length > MAX_BODY:
        raise OSError("the answer has more than %d bytes, which is the limit for a program" % MAX_BODY)


def _header(headers, name):
    for key, value in headers.items():
        if key.lower() == name:
            return value
    return None


def _add_type(headers, content_type):
    if _header(headers, "content-type") is None:
        headers["Content-Type"] = content_type


def _origin(url):
    """Return the beginning of an address up to its path: "http://example.org:8000"."""
    scheme, _, rest = url.partition("://")
    for mark in "/?#":
        rest = rest.split(mark)[0]
    return "%s://%s" % (scheme, rest)


def _absolute(url, target):
    beginning = target
    for mark in "/?#":
        beginning = beginning.split(mark)[0]
    # A scheme is before the path; in the query another address may be.
    if beginning.endswith(":"):
        return target
    if target.startswith("//"):
        return url.split("//")[0] + target
    if target.startswith("/"):
        return _origin(url) + target
    return url.split("?")[0].rsplit("/", 1)[0] + "/" + target


def form(values):
    """Return a dict as the text of a form or a query."""
    pairs = []
    for name, value in values.items():
        pairs.append("%s=%s" % (_quoted(str(name)), _quoted(str(value))))
    # A space is a plus in forms.
    return "&".join(pairs).replace("%20", "+")


def _quoted(text):
    quoted = ""
    for byte in text.encode():
        if byte in _PLAIN:
            quoted += chr(byte)
        else:
            quoted += "%%%02X" % byte
    return quoted
