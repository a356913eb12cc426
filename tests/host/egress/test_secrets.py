"""Secrets that tasks use: added by the proxy towards their host, never seen by the task, kept privately."""

from __future__ import annotations

import asyncio
import base64
import stat
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.host.egress.proxying import SECRET, allowed, client_tls, status

from microclaw.errors import ConfigError, UnknownName
from microclaw.host.audit.log_files import read_events
from microclaw.host.config.sources import Sources
from microclaw.host.egress.masking import SecretMask
from microclaw.host.egress.secret_values import SecretValues

ENTRY = "secret: key, header: X-Key"


async def test_a_secret_is_added_over_tls_towards_its_host_alone(tmp_path: Path) -> None:
    async with allowed(tmp_path, entry="secret: key, header: 'Authorization: Bearer {secret}'") as task:
        headers = ("Authorization: of-the-task", "Range: bytes=0-3", "Accept-Encoding: gzip")
        assert status(await task.get("/", *headers)) == 200
        [head] = task.web.heads
        assert head["authorization"] == f"Bearer {SECRET}"
        assert "range" not in head
        assert head["accept-encoding"] == "identity"
        assert b"of-the-task" not in task.web.seen[0]
        assert SECRET not in task.events[0].text
        await asyncio.to_thread(SecretValues(tmp_path, {}).set, "key", "another-value")
        await task.get()
        assert task.web.heads[1]["authorization"] == "Bearer another-value"


async def test_a_secret_goes_to_no_other_certificate_and_without_one_nothing_goes(tmp_path: Path) -> None:
    async with allowed(tmp_path, entry=ENTRY, tls=lambda: client_tls("other.example.com")) as task:
        assert status(await task.get()) == 502
        await asyncio.to_thread(SecretValues(tmp_path, {}).remove, "key")
        assert status(await task.get()) == 403
        assert task.web.seen == []


ECHOES = [
    SECRET,
    quote(SECRET, safe=""),
    base64.b64encode(SECRET.encode()).decode(),
    base64.b64encode(f"user:{SECRET}".encode()).decode(),
    base64.urlsafe_b64encode(f"u:{SECRET}!".encode()).decode(),
    SECRET.encode().hex(),
    SECRET.replace("/", "\\/"),
]


async def test_a_server_that_echoes_the_secret_is_masked(tmp_path: Path) -> None:
    """In the body, cut into chunks anywhere, and in a header; what counts the bytes stays right."""
    echoes = [(echo, piece) for echo in ECHOES for piece in (1, 7, 4096)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        echo, piece = echoes[len(task.web.seen) - 1]
        body = echoing(echo)
        chunks = [body[at : at + piece] for at in range(0, len(body), piece)]
        sent = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks) + b"0\r\n\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\nX-Echo: " + echo.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + sent)
        await writer.drain()

    async with allowed(tmp_path, answer, entry=ENTRY) as task:
        for echo, _ in echoes:
            head, _, rest = (await task.get()).partition(b"\r\n\r\n")
            whole = _joined(rest)
            assert echo[8:-8].encode() not in head + whole
            assert len(whole) == len(echoing(echo))
            assert whole.endswith(b'", "and": "more"}')


def echoing(echo: str) -> bytes:
    return f'{{"you sent": "{echo}", "and": "more"}}'.encode()


@pytest.mark.parametrize("more", [b"", b"Content-Encoding: identity\r\n"])
async def test_a_compressed_answer_is_refused_where_a_secret_went_out(tmp_path: Path, more: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n" + more + b"Content-Length: 4\r\n\r\nabcd"
    async with allowed(tmp_path, answer, entry=ENTRY) as task:
        found = await task.get()
        assert (status(found), b"abcd" in found) == (502, False)


WRONG = (
    *((name, SECRET) for name in ("", "Upper", "../x", "a b", "x" * 33, "a.b")),
    *(("key", value) for value in ("short", "two\nlines-of-it", "\x1b[31mred-and-long", "ünlesbar-lang")),
)


async def test_the_value_is_in_a_private_file_and_known_to_the_mask_before_it_is_used(tmp_path: Path) -> None:
    mask = SecretMask()
    file = tmp_path / "secrets.toml"
    values = SecretValues(tmp_path, {}, mask=mask)
    for name, value in WRONG:
        with pytest.raises(ConfigError):
            values.set(name, value)
    assert not file.exists()
    SecretValues(tmp_path, {}).set("key", SECRET)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert values.names() == ["key"]
    assert await values.value("key") == SECRET
    assert SECRET not in mask.masked(f"it was {SECRET}")
    assert Sources(tmp_path, {}).mistakes == []
    assert [event.event.about for event in read_events(tmp_path)] == ["secrets.values.key"]
    values.remove("key")
    assert await values.value("key") is None
    with pytest.raises(UnknownName):
        values.remove("key")
    for value in ("short", "two\\nlines-of-a-header: x"):  # by hand
        await asyncio.to_thread(file.write_text, f'[secrets.values]\nkey = "{value}"\n')
        assert await SecretValues(tmp_path, {}).value("key") is None


def _joined(chunked: bytes) -> bytes:
    whole = b""
    while chunked:
        size, _, chunked = chunked.partition(b"\r\n")
        whole += chunked[: int(size, 16)]
        chunked = chunked[int(size, 16) + 2 :]
    return whole
