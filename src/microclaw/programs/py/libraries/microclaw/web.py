"""microclaw.web: pages of a program, by routes: `@app.route("/led/<state>")` above a function of the request.

What the function returns is the page: a text, (text, status), (text, status, headers), a dict or list as JSON, or a
Response. Functions may wait, and may be `async def`.
"""

import asyncio
import sys
from json import dumps, loads

MAX_BODY = 8192
_MAX_HEAD = 4096
_TIMEOUT_S = 10
_REASONS = {200: "OK", 204: "No Content", 302: "Found", 400: "Bad Request", 404: "Not Found", 500: "Error"}


class Request:
    """A request of a browser. `args`, `form` and `json` are what it sent, `headers` have names in small letters."""

    def __init__(self, app, method, url, headers, body, client_addr):
        self.app = app
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.client_addr = client_addr
        path, _, self.query_string = url.partition("?")
        self.path = _unquoted(path)
        self.args = _pairs(self.query_string)

    @property
    def form(self):
        if "form-urlencoded" in self.headers.get("content-type", ""):
            return _pairs(str(self.body, "utf-8"))
        return {}

    @property
    def json(self):
        if "json" in self.headers.get("content-type", ""):
            return loads(self.body)
        return None


class Response:
    """An answer; without a content type a text that begins with < is HTML."""

    def __init__(self, body="", status_code=200, headers=None, reason=None):
        self.status_code = status_code
        self.headers = dict(headers or {})
        self.reason = reason or _REASONS.get(status_code, "Answer")
        content_type = "text/plain; charset=utf-8"
        if isinstance(body, (dict, list)):
            content_type = "application/json"
            body = dumps(body)
        elif isinstance(body, str) and body.lstrip().startswith("<"):
            content_type = "text/html; charset=utf-8"
        if isinstance(body, str):
            body = body.encode()
        self.body = body or b""
        if not any(name.lower() == "content-type" for name in self.headers):
            self.headers["Content-Type"] = content_type

    def head(self):
        lines = ["HTTP/1.1 %d %s" % (self.status_code, self.reason)]
        for name, value in self.headers.items():
            lines.append("%s: %s" % (name, value))
        lines.append("Content-Length: %d" % len(self.body))
        lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def redirect(location, status_code=302):
    return Response("", status_code, {"Location": location})


def send_file(name, content_type="text/html; charset=utf-8"):
    """Answer with a file of the program."""
    with open(name, "rb") as file:
        return Response(file.read(), 200, {"Content-Type": content_type})


class App:
    def __init__(self):
        self._routes = []
        self._missing = None
        self._failed = None
        self._end = asyncio.Event()

    def route(self, url, methods=("GET",)):
        """Let the function below answer this path; `<name>`, `<int:name>` and `<path:name>` are arguments."""

        def add(function):
            self._routes.append((tuple(methods), url.split("/"), function))
            return function

        return add

    def get(self, url):
        return self.route(url)

    def post(self, url):
        return self.route(url, ("POST",))

    def put(self, url):
        return self.route(url, ("PUT",))

    def delete(self, url):
        return self.route(url, ("DELETE",))

    def errorhandler(self, status):
        """Let the function below answer requests that no route answers (404), or whose function raises (500)."""
        if status not in (404, 500):
            raise ValueError("errorhandler takes 404 or 500")

        def add(function):
            if status == 404:
                self._missing = function
            else:
                self._failed = function
            return function

        return add

    def run(self, host="0.0.0.0", port=80, debug=False):
        """Serve until shutdown()."""
        asyncio.run(self.start_server(host, port, debug))

    async def start_server(self, host="0.0.0.0", port=80, debug=False):
        """Serve until shutdown(), beside other tasks."""
        server = await asyncio.start_server(self._serve, host, port)
        await self._end.wait()
        server.close()

    def shutdown(self):
        self._end.set()

    async def _serve(self, reader, writer):
        try:
            request = await asyncio.wait_for(self._read(reader, writer), _TIMEOUT_S)
            response = await self._answer(request)
            writer.write(response.head())
            writer.write(response.body)
            await writer.drain()
        except (OSError, EOFError, asyncio.TimeoutError):
            # This browser went away; others come.
            pass
        finally:
            writer.close()
            await writer.wait_closed()

    async def _answer(self, request):
        if request is None:
            return Response("Bad request", 400)
        try:
            return await self._routed(request)
        except Exception as error:
            sys.print_exception(error)
        if self._failed is None:
            return Response("Error", 500)
        try:
            return await _call(self._failed, request, {}, 500)
        except Exception as error:
            sys.print_exception(error)
            return Response("Error", 500)

    async def _routed(self, request):
        path = request.path.split("/")
        for methods, parts, function in self._routes:
            arguments = _match(parts, path)
            if arguments is not None and request.method in methods:
                return await _call(function, request, arguments)
        if self._missing is not None:
            return await _call(self._missing, request, {}, 404)
        return Response("Not found", 404)

    async def _read(self, reader, writer):
        """Return the request, or None if it is none."""
        try:
            return await self._read_request(reader, writer)
        except (ValueError, MemoryError):
            # A text that is not UTF-8, a length that is no number, or a line that is too long.
            return None

    async def _read_request(self, reader, writer):
        words = str(await reader.readline(), "utf-8").split()
        if len(words) != 3:
            return None
        headers = {}
        size = 0
        while True:
            line = str(await reader.readline(), "utf-8")
            size += len(line)
            name, _, value = line.partition(":")
            if not name.strip():
                break
            if size > _MAX_HEAD:
                return None
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= MAX_BODY:
            return None
        body = b""
        if length:
            body = await reader.readexactly(length)
        return Request(self, words[0], words[1], headers, body, writer.get_extra_info("peername"))


async def _call(function, request, arguments, status=200):
    """Return the answer of a function; `status` is that of an answer that says none."""
    result = function(request, **arguments)
    # A function with `async def` returns what must be awaited.
    if hasattr(result, "send"):
        result = await result
    if isinstance(result, Response):
        return result
    if isinstance(result, tuple):
        return Response(*result)
    return Response(result, status)


def _match(parts, path):
    """Return the arguments in a path, or None if the route has another form."""
    arguments = {}
    for number, part in enumerate(parts):
        if number >= len(path):
            return None
        value = path[number]
        if not part.startswith("<"):
            if part != value:
                return None
            continue
        kind, _, name = part[1:-1].rpartition(":")
        if kind == "path":
            arguments[name] = "/".join(path[number:])
            return arguments
        if kind == "int":
            if not value.isdigit():
                return None
            value = int(value)
        arguments[name] = value
    if len(parts) != len(path):
        return None
    return arguments


def _pairs(text):
    values = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if name:
            values[_unquoted(name.replace("+", " "))] = _unquoted(value.replace("+", " "))
    return values


def _unquoted(text):
    parts = text.split("%")
    content = parts[0].encode()
    for part in parts[1:]:
        try:
            content += bytes((int(part[:2], 16),)) + part[2:].encode()
        except ValueError:
            content += b"%" + part.encode()
    return str(content, "utf-8")
