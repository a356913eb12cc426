"""A program's HTTP answer as this host sends it on: few headers, its own origin, and paths below the page's own.

The program was written for an address of its own: its links begin with "/". Here they begin with the page's path.
"""

from __future__ import annotations

import json
import re
from typing import Final
from urllib.parse import unquote, urlsplit

import h11
from starlette.responses import Response

from microclaw.devices.registry.calls import MAX_PAGE_BYTES
from microclaw.errors import ProtocolError
from microclaw.interfaces.api.failures import PAGE_HEADERS
from microclaw.wire.program_answer import answer_fault

_PASSED: Final = ("content-type", "cache-control", "content-encoding")
_REWRITTEN: Final = re.compile(r"(text/(html|css|javascript)|application/(x-)?javascript)\b", re.IGNORECASE)
_HTML: Final = "text/html; charset=utf-8"
_NEXT: Final = "see what it printed: microclaw logs"
# What stands before a path in HTML, in its styles and scripts. An address with two slashes has a host of its own.
# Blanks are counted, as a program may send 64 KB of them: two places for any number of them would take a minute.
_LINK: Final = re.compile(
    rb"""( (?<![\w-])(?:href|src|action|formaction|poster)\s{0,8}=\s{0,8}\\?["'`]
      | \s(?:href|src|action|formaction)=
      | \burl\(\s{0,8}["']?
      | \bcontent\s{0,8}=\s{0,8}\\?["']?\s{0,8}[0-9.]+\s{0,8};\s{0,8}url\s{0,8}=\s{0,8}["']?
      | \blocation\s{0,8}=\s{0,8}["'`]
      | \blocation\.(?:assign|replace)\(\s{0,8}["'`]
      | \bwindow\.open\(\s{0,8}["'`]
    )/(?!/)""",
    re.VERBOSE | re.IGNORECASE,
)
_DOCTYPE: Final = re.compile(rb"\s*<!doctype\b[^>]*>", re.IGNORECASE)
_REFRESH: Final = re.compile(
    r"""\s{0,8}(\d{1,6})\s{0,8}(?:;\s{0,8}(?:url\s{0,8}=\s{0,8})?['"]?([^'"]*)['"]?)?\s{0,8}""", re.IGNORECASE
)
# The addresses that a script makes while it runs.
_SCRIPT: Final = """<script>(() => {
const prefix = PREFIX, fetched = window.fetch, opened = XMLHttpRequest.prototype.open;
const moved = (address) => {
  if (typeof address !== "string") return address;
  const path = address.startsWith(location.origin + "/") ? address.slice(location.origin.length) : address;
  return /^\\/(?!\\/)/.test(path) && !path.startsWith(prefix + "/") ? prefix + path : address;
};
window.fetch = (address, ...more) => fetched(moved(address), ...more);
XMLHttpRequest.prototype.open = function (method, address, ...more) {
  return opened.call(this, method, moved(address), ...more);
};
})();</script>"""


def page_response(answer: bytes, *, prefix: str, origin: str) -> Response:
    """Return the response for a program's answer. Raises ProtocolError if it is not one whole HTTP answer.

    `prefix` is the page's path in the browser, `origin` this host as the browser knows it: "http://board.local:8080".
    """
    if len(answer) > MAX_PAGE_BYTES:
        raise ProtocolError(f"the program's answer is over {MAX_PAGE_BYTES:,} bytes", next_step=_NEXT)
    status, fields, body = _read(answer)
    headers = {"content-type": _HTML}
    for name in _PASSED:
        if name in fields:
            headers[name] = fields[name]
    if "location" in fields:
        headers["location"] = _below(fields["location"], prefix)
    refresh = _REFRESH.fullmatch(fields.get("refresh", ""))
    if refresh is not None:
        headers["refresh"] = refresh[1]
        if refresh[2]:
            headers["refresh"] += f"; url={_below(refresh[2], prefix)}"
    if _REWRITTEN.match(headers["content-type"]) and "content-encoding" not in headers:
        body = _moved(body, prefix, is_html=headers["content-type"].lower().startswith("text/html"))
    headers |= isolation(origin, prefix)
    return Response(body, status, headers)


def isolation(origin: str, prefix: str) -> dict[str, str]:
    """Return the headers that keep a program's page away from this host's own page and API.

    The sandbox gives it an origin of its own ("null"): no cookie of this host, no reading of other answers.
    """
    # CSP has no form for an IPv6 address.
    own = "'self'" if "[" in origin else f"{origin}{prefix}/"
    policy = (
        "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts; "
        f"default-src {own} data: blob:; script-src {own} https: 'unsafe-inline' 'unsafe-eval'; "
        f"style-src {own} https: 'unsafe-inline'; img-src {own} https: data: blob:; font-src {own} https: data:; "
        f"form-action {own}; base-uri 'none'; frame-ancestors 'none'"
    )
    return {"content-security-policy": policy, **PAGE_HEADERS}


def _read(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, header fields and body of the one answer in these bytes, whose end is the answer's end."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "board")]))
    reader.send(h11.EndOfMessage())
    head: h11.Response | None = None
    body = bytearray()
    try:
        reader.receive_data(answer)
        reader.receive_data(b"")
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif not isinstance(event, h11.InformationalResponse):
                raise _unreadable(answer, head)
    except h11.RemoteProtocolError as exc:
        raise _unreadable(answer, head) from exc
    if head is None:
        raise _unreadable(answer, head)
    fields = {name.decode(): value.decode("latin-1") for name, value in head.headers}
    return head.status_code, fields, bytes(body)


def _unreadable(answer: bytes, head: h11.Response | None) -> ProtocolError:
    reason = answer_fault(answer, has_head=head is not None)
    return ProtocolError(f"the program gave no whole HTTP answer: {reason}", next_step=_NEXT)


def _moved(body: bytes, prefix: str, *, is_html: bool) -> bytes:
    """Return a text with its paths below the prefix."""
    body = _LINK.sub(lambda match: match[1] + prefix.encode() + b"/", body)
    if not is_html:
        return body
    # Before the doctype it would change how the browser lays the page out.
    doctype = _DOCTYPE.match(body)
    at = 0 if doctype is None else doctype.end()
    return body[:at] + _SCRIPT.replace("PREFIX", json.dumps(prefix)).encode() + body[at:]


def _below(target: str, prefix: str) -> str:
    """Return the target of a redirect, which stays at the page: of another address only the path counts."""
    try:
        # For a browser they are the same.
        address = urlsplit(target.replace("\\", "/"))
    except ValueError:
        return f"{prefix}/"
    path = address.path
    is_away = ".." in unquote(path).replace("\\", "/").split("/")
    if is_away:
        return f"{prefix}/"
    if address.netloc or address.scheme or path.startswith("/"):
        path = f"{prefix}/{path.lstrip('/')}"
    if address.query:
        path += f"?{address.query}"
    if address.fragment:
        path += f"#{address.fragment}"
    return path
