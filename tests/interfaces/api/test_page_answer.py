"""A program's answer as the host sends it on: its paths stay below the page's own, and what is no HTTP is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.devices.registry.calls import MAX_PAGE_BYTES
from microclaw.errors import ProtocolError
from microclaw.interfaces.api.page_answer import page_response
from microclaw.virtual.network.http_peers import PageAnswer, PageClient
from microclaw.wire.canned_lines import PageRequest

PREFIX = "/app/lamp/~s-1.abc"


def sent(answer: bytes) -> tuple[int, dict[str, str], str]:
    """Status, header and body of what the browser gets."""
    response = page_response(answer, prefix=PREFIX, origin="http://host:8080")
    return response.status_code, dict(response.headers), bytes(response.body).decode("latin-1")


def body_of(text: str, kind: str = "text/html") -> str:
    return sent(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n{text}".encode("latin-1"))[2]


@pytest.mark.parametrize(
    ("written", "moved"),
    [
        ('<a href="/H">', '<a href="{}/H">'),
        ("<a href='/'>", "<a href='{}/'>"),
        ("<a href=/L>off</a>", "<a href={}/L>off</a>"),
        ('<form ACTION = "/get">', '<form ACTION = "{}/get">'),
        ('<button formaction="/x">', '<button formaction="{}/x">'),
        ('<img src="/cam.jpg">', '<img src="{}/cam.jpg">'),
        ('out += "<a href=\\"/on\\">";', 'out += "<a href=\\"{}/on\\">";'),
        ('image.src = "/cam.jpg?" + now;', 'image.src = "{}/cam.jpg?" + now;'),
        ("window.location.href='/logout'", "window.location.href='{}/logout'"),
        ('location = "/";', 'location = "{}/";'),
        ('location.replace("/a")', 'location.replace("{}/a")'),
        ("window.open('/logged-out', '_self')", "window.open('{}/logged-out', '_self')"),
        ('<meta http-equiv="refresh" content="5; url=/">', '<meta http-equiv="refresh" content="5; url={}/">'),
        ("background: url(/a.png)", "background: url({}/a.png)"),
        # These are of another host, of the page itself, or no addresses.
        ('<script src="//cdn.example/x.js">', '<script src="//cdn.example/x.js">'),
        ('<a href="https://example.org/a">', '<a href="https://example.org/a">'),
        ('<a href="on">', '<a href="on">'),
        ('t = n + "/min";', 't = n + "/min";'),
        ('d.split("/")', 'd.split("/")'),
        ('<a data-href="/x">', '<a data-href="/x">'),
    ],
)
def test_addresses_that_begin_with_a_slash_move_below_the_page(written: str, moved: str) -> None:
    assert body_of(written).endswith(moved.format(PREFIX) if "{}" in moved else moved)


def test_only_texts_of_pages_are_changed_and_the_script_stands_first() -> None:
    assert body_of("<!DOCTYPE html><head><title>x").startswith("<!DOCTYPE html><script>")
    assert body_of('{"href": "/x"}', "application/json") == '{"href": "/x"}'
    assert body_of('x.src = "/a"', "text/javascript") == f'x.src = "{PREFIX}/a"'
    packed = sent(b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nhref="/x"')
    assert (packed[1]["content-encoding"], packed[2]) == ("gzip", 'href="/x"')


@pytest.mark.parametrize("start", ["content=", "content = ", "href", "location", "url(", "content=5", "content=5; url"])
def test_a_page_full_of_blanks_takes_the_host_no_time(start: str) -> None:
    """With two places for any number of blanks, each more of them would cost as much as all before: a minute."""
    blanks = " " * (MAX_PAGE_BYTES - 4_000)
    assert body_of(start + blanks).endswith(start + blanks)
    refreshing = f"HTTP/1.1 200 OK\r\nRefresh: 5;{' ' * 12_000}x\r\n\r\n".encode()
    assert sent(refreshing)[0] == 200


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/", f"{PREFIX}/"),
        ("/a?b=1#c", f"{PREFIX}/a?b=1#c"),
        ("next", "next"),
        ("http://0.0.0.0/led", f"{PREFIX}/led"),
        ("//elsewhere.example/x", f"{PREFIX}/x"),
        ("javascript:alert(1)", f"{PREFIX}/alert(1)"),
        ("/../../v1/me", f"{PREFIX}/"),
        ("/%2e%2e/v1/me", f"{PREFIX}/"),
        ("..\\v1", f"{PREFIX}/"),
        ("\\\\elsewhere.example/x", f"{PREFIX}/x"),
        ("\\v1\\me", f"{PREFIX}/v1/me"),
        (".\t./.\t./v1", f"{PREFIX}/"),
        ("http://[", f"{PREFIX}/"),
    ],
)
def test_a_redirect_stays_at_the_page(target: str, location: str) -> None:
    status, headers, _ = sent(f"HTTP/1.1 303 See Other\r\nLocation: {target}\r\n\r\n".encode())
    assert (status, headers["location"]) == (303, location)
    refreshed = sent(f"HTTP/1.1 200 OK\r\nRefresh: 5; url={target}\r\n\r\n".encode())
    assert refreshed[1]["refresh"] == f"5; url={location}"


def test_few_headers_pass() -> None:
    answer = b"HTTP/1.1 200 OK\nContent-type:text/plain\nX-A: 1\nSet-Cookie: a=b\nServer: x\nRefresh: 5\nETag: 1\n\nhi"
    _, headers, body = sent(answer)
    assert body == "hi"
    assert headers["refresh"] == "5"
    assert headers.keys() == {
        "content-type",
        "content-length",
        "refresh",
        "content-security-policy",
        "access-control-allow-origin",
        "cross-origin-resource-policy",
    }


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
        b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c=d\r\n\r\n",
        b"HTTP/1.1 99 No\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MAX_PAGE_BYTES),
        bytes(10_000_000),
    ],
)
def test_what_is_no_whole_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        sent(answer)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "it sent nothing"),
        (b"hello", "it begins with 'hello', not with HTTP/1.1 and a status"),
        (b"HTTP/1.1 200 OK\r\nA: b", "no empty line ends its head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", "its body ends too early"),
        (b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c=d\r\n\r\n", "a line of its head is not HTTP"),
    ],
)
def test_the_reason_is_in_plain_words_and_the_same_in_a_trial(answer: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=f"no whole HTTP answer: {reason}$"):
        sent(answer)
    answers: list[PageAnswer] = []
    PageClient(PageRequest("GET", "/"), answers.append).receive_all(answer)
    assert answers == [PageAnswer(None, f"no whole HTTP: {reason}".encode())]


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_sent_on_or_refused(data: bytes, has_head: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + data if has_head else data
    try:
        _, headers, _ = sent(answer)
    except ProtocolError:
        return
    assert headers["content-security-policy"].startswith("sandbox ")
