"""Secrets that tasks use: added by the proxy towards their host, never seen by the task, kept privately."""

from __future__ import annotations

import asyncio
import base64
import stat
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.egress.proxying import HOST, allow, client_tls, proxy, server, server_tls, status

from microclaw.audit.log_files import read_events
from microclaw.config.sources import Sources
from microclaw.egress.secret_values import SecretValues
from microclaw.errors import ConfigError, UnknownName
from microclaw.masking import SecretMask

VALUE = "s3cr3t/va+lue ${HOME}=42"


async def test_a_secret_is_added_over_tls_towards_its_host_alone(tmp_path: Path) -> None:
    async with server(tls=server_tls(tmp_path)) as web:
        entry = f"host: {HOST}, ports: [{web.port}], secret: key, header: 'Authorization: Bearer {{secret}}'"
        async with proxy(tmp_path, allow(entry), secrets={"key": VALUE}, tls=client_tls) as task:
            answer = await task.get(
                f"http://{HOST}:{web.port}/", "Authorization: of-the-task", "Range: bytes=0-3", "Accept-Encoding: gzip"
            )
            assert status(answer) == 200
            [head] = web.seen
            assert f"Authorization: Bearer {VALUE}\r\n".encode() in head
            assert b"of-the-task" not in head
            assert b"Range" not in head
            assert b"Accept-Encoding: identity\r\n" in head
            assert VALUE not in task.events[0].text


async def test_a_secret_is_sent_to_no_server_with_another_certificate(tmp_path: Path) -> None:
    async with server(tls=server_tls(tmp_path, "other.example.com")) as web:
        entry = f"host: {HOST}, ports: [{web.port}], secret: key, header: X-Key"
        async with proxy(
            tmp_path, allow(entry), secrets={"key": VALUE}, tls=lambda: client_tls("other.example.com")
        ) as task:
            answer = await task.get(f"http://{HOST}:{web.port}/")
            assert status(answer) == 502
            assert web.seen == []


async def test_a_secret_that_is_not_there_sends_nothing(tmp_path: Path) -> None:
    async with server(tls=server_tls(tmp_path)) as web:
        entry = f"host: {HOST}, ports: [{web.port}], secret: key, header: X-Key"
        async with proxy(tmp_path, allow(entry), tls=client_tls) as task:
            assert status(await task.get(f"http://{HOST}:{web.port}/")) == 403
            assert web.seen == []


ECHOES = [
    VALUE,
    quote(VALUE, safe=""),
    base64.b64encode(VALUE.encode()).decode(),
    base64.b64encode(f"user:{VALUE}".encode()).decode(),
    base64.urlsafe_b64encode(f"u:{VALUE}!".encode()).decode(),
    VALUE.encode().hex(),
    VALUE.replace("/", "\\/"),
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("piece", [1, 7, 4096])
async def test_a_server_that_echoes_the_secret_is_masked(tmp_path: Path, echo: str, piece: int) -> None:
    """In the body, cut into chunks anywhere, and in a header; what counts the bytes stays right."""
    body = f'{{"you sent": "{echo}", "and": "more"}}'.encode()
    chunks = [body[at : at + piece] for at in range(0, len(body), piece)]
    sent = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks) + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nX-Echo: " + echo.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + sent
    async with server(answer, tls=server_tls(tmp_path)) as web:
        entry = f"host: {HOST}, ports: [{web.port}], secret: key, header: X-Key"
        async with proxy(tmp_path, allow(entry), secrets={"key": VALUE}, tls=client_tls) as task:
            found = await task.get(f"http://{HOST}:{web.port}/")
            core = echo[8:-8].encode()
            head, _, rest = found.partition(b"\r\n\r\n")
            whole = _joined(rest)
            assert core not in head
            assert core not in whole
            assert len(whole) == len(body)
            assert whole.endswith(b'", "and": "more"}')


async def test_a_compressed_answer_is_refused_where_a_secret_went_out(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"
    async with server(answer, tls=server_tls(tmp_path)) as web:
        entry = f"host: {HOST}, ports: [{web.port}], secret: key, header: X-Key"
        async with proxy(tmp_path, allow(entry), secrets={"key": VALUE}, tls=client_tls) as task:
            found = await task.get(f"http://{HOST}:{web.port}/")
            assert status(found) == 502
            assert b"abcd" not in found


async def test_a_new_value_counts_at_once(tmp_path: Path) -> None:
    async with server(tls=server_tls(tmp_path)) as web:
        entry = f"host: {HOST}, ports: [{web.port}], secret: key, header: X-Key"
        async with proxy(tmp_path, allow(entry), secrets={"key": VALUE}, tls=client_tls) as task:
            await task.get(f"http://{HOST}:{web.port}/")
            SecretValues(tmp_path, {}).set("key", "another-value")
            await task.get(f"http://{HOST}:{web.port}/")
            assert b"X-Key: another-value\r\n" in web.seen[1]


async def test_the_value_is_in_a_private_file(tmp_path: Path) -> None:
    values = SecretValues(tmp_path, {})
    values.set("key", VALUE)
    assert stat.S_IMODE((tmp_path / "secrets.toml").stat().st_mode) == 0o600
    assert values.names() == ["key"]
    assert await values.value("key") == VALUE
    assert Sources(tmp_path, {}).mistakes == []
    assert [event.event.about for event in read_events(tmp_path)] == ["secrets.values.key"]
    values.remove("key")
    assert await values.value("key") is None
    with pytest.raises(UnknownName):
        values.remove("key")


@pytest.mark.parametrize("value", ["short", "two\nlines-of-it", "\x1b[31mred-and-long", "ünlesbar-lang"])
def test_what_is_no_secret_is_not_kept(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError):
        SecretValues(tmp_path, {}).set("key", value)
    assert not (tmp_path / "secrets.toml").exists()


@pytest.mark.parametrize("value", ["short", "two\\nlines-of-a-header: x"])
async def test_a_value_that_was_written_by_hand_and_is_none_counts_as_missing(tmp_path: Path, value: str) -> None:
    file = tmp_path / "secrets.toml"
    await asyncio.to_thread(file.write_text, f'[secrets.values]\nkey = "{value}"\n')
    await asyncio.to_thread(file.chmod, 0o600)
    assert await SecretValues(tmp_path, {}).value("key") is None


@pytest.mark.parametrize("name", ["", "Upper", "../x", "a b", "x" * 33, "a.b"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        SecretValues(tmp_path, {}).set(name, VALUE)


async def test_the_mask_knows_a_value_before_it_is_used(tmp_path: Path) -> None:
    SecretValues(tmp_path, {}).set("key", VALUE)
    mask = SecretMask()
    values = SecretValues(tmp_path, {}, mask=mask)
    assert VALUE in mask.masked(VALUE)
    await values.value("key")
    assert VALUE not in mask.masked(f"it was {VALUE}")


def _joined(chunked: bytes) -> bytes:
    whole = b""
    while chunked:
        size, _, chunked = chunked.partition(b"\r\n")
        whole += chunked[: int(size, 16)]
        chunked = chunked[int(size, 16) + 2 :]
    return whole
