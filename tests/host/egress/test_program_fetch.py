"""HTTPS requests for programs of boards, over real TLS: who is asked, what is refused, what is limited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.host.egress.proxying import (
    HOST,
    Names,
    Server,
    client_tls,
    loopback_is_public,
    moved,
    page,
    server,
    server_tls,
    site,
)
from tests.network_forms import FORMS

from microclaw.host.audit.event import AuditEvent, AuditKind, no_record
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.program_fetch import (
    MAX_BODY_BYTES,
    FetchFailed,
    ProgramAnswer,
    ProgramFetcher,
    ProgramRequest,
)
from microclaw.network_use import NetworkUse

EVERY_PORT = NetworkUse(hosts=(HOST,))


def fetcher(names: Names | None = None, events: list[AuditEvent] | None = None) -> ProgramFetcher:
    record = no_record if events is None else events.append
    return ProgramFetcher(
        Egress(resolve=names or Names(), is_public=loopback_is_public, own=tuple), record=record, tls=client_tls
    )


def request(url: str, **more: Any) -> ProgramRequest:
    return ProgramRequest(**{"device": "lamp", "app": "weather", "method": "GET", "url": url, "headers": {}, **more})


async def fault(fetching: ProgramFetcher, asked: ProgramRequest, network: NetworkUse = EVERY_PORT) -> str:
    with pytest.raises(FetchFailed) as caught:
        await fetching.fetch(asked, network)
    return caught.value.fault


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Server]:
    """Its certificate is for `HOST`."""
    found = page('{"t": 21}', "application/json", "X-Two: a", "X-Two: b", f"X-Long: {'x' * 300}")
    async with site(lambda _: found, server_tls(tmp_path)) as running:
        yield running


async def test_an_answer_has_status_short_headers_and_body_and_the_log_has_neither_path_nor_content(
    web: Server,
) -> None:
    events: list[AuditEvent] = []
    asked = request(
        f"https://{HOST}:{web.port}/x?key=secret", method="POST", body=b"hello", headers={"X-Key": "k", "Host": "other"}
    )
    answer = await fetcher(events=events).fetch(asked, NetworkUse(hosts=(f"{HOST}:{web.port}",)))
    assert (answer.status, answer.body) == (200, b'{"t": 21}')
    assert answer.headers["x-two"] == "a, b"
    assert "x-long" not in answer.headers
    assert web.targets == ["/x?key=secret"]
    head = web.heads[0]
    assert (head["host"], head["x-key"], head["content-length"]) == (f"{HOST}:{web.port}", "k", "5")
    assert head["accept-encoding"] == "identity"
    [event] = events
    assert (event.kind, event.about) == (AuditKind.EGRESS_ALLOWED, "weather on lamp")
    assert event.text == f"POST {HOST}:{web.port}, 5 bytes up: status 200, 9 bytes down"


REFUSED = (
    "http://api.example.com/", "https://user:pass@api.example.com/", "ftp://api.example.com/", "https://", "",
    "https://other.example/", "https://api.example.com.evil.example/", "https://127.0.0.1/", "https://[::1]/",
    "https://2130706433/", "https://0x7f.1/", "https://api.example.com\\@evil.example/", "https://a\nb/",
    "https://api.example.com/" + "x" * 2_048, "https://169.254.169.254/latest/",
)  # fmt: skip


async def test_what_is_no_https_address_of_an_allowed_host_is_refused_and_no_name_is_looked_up() -> None:
    names = Names()
    events: list[AuditEvent] = []
    for url in REFUSED:
        assert await fault(fetcher(names, events), request(url)) == "fetch_refused", url
    assert await fault(fetcher(names), request(f"https://{HOST}/", method="CONNECT")) == "fetch_refused"
    assert await fault(fetcher(names), request(f"https://{HOST}/"), NetworkUse()) == "fetch_refused"
    another_port = NetworkUse(hosts=(f"{HOST}:8443",))
    assert await fault(fetcher(names), request(f"https://{HOST}/"), another_port) == "fetch_refused"
    assert names.asked == []
    assert {event.kind for event in events} == {AuditKind.EGRESS_REFUSED}


async def test_no_form_of_a_host_leads_to_this_computer_even_if_a_record_has_it() -> None:
    fetching = ProgramFetcher(Egress(resolve=Names(), own=tuple), tls=client_tls)
    for form in FORMS:
        network = NetworkUse(hosts=(form, form.lower(), form.lower().rstrip("."), HOST))
        for url in (f"https://{form}/", f"https://{form}:8443/"):
            # Some are no names at all: nobody is asked for those.
            assert await fault(fetching, request(url), network) in {"fetch_refused", "fetch_failed"}, url


async def test_headers_carry_no_second_header_and_no_host_of_their_own(web: Server) -> None:
    url = f"https://{HOST}:{web.port}/"
    for headers in (
        {"X": "a\r\nHost: evil"},
        {"X\r\nHost": "evil"},
        {"X": "a\nb"},
        {"X": "a\0"},
        {"": "x"},
        {"X Y": "a"},
    ):
        with pytest.raises(FetchFailed):
            await fetcher().fetch(request(url, headers=headers), EVERY_PORT)
    for line in ("GET / HTTP/1.1\r\nHost: evil", "GET\r\n", "get"):
        assert await fault(fetcher(), request(url, method=line)) == "fetch_refused"
    answer = await fetcher().fetch(request(url, headers={"HOST": "evil", "Content-Length": "9"}), EVERY_PORT)
    assert answer.status == 200
    assert [head["host"] for head in web.heads] == [f"{HOST}:{web.port}"]


PRIVATE = (
    "127.0.0.2", "10.0.0.1", "192.168.1.5", "172.16.0.1", "169.254.169.254", "100.100.100.200", "224.0.0.1",
    "255.255.255.255", "0.0.0.0", "::1", "::ffff:127.0.0.2", "fe80::1", "fd00:ec2::254", "64:ff9b::7f00:2",
)  # fmt: skip


async def test_an_allowed_name_at_an_address_that_is_not_public_is_refused() -> None:
    for address in PRIVATE:
        names = Names(api_example_com=[address])
        assert await fault(fetcher(names), request(f"https://{HOST}/")) == "fetch_refused", address


async def test_an_address_that_is_allowed_by_name_is_refused_too() -> None:
    for address in ("127.0.0.2", "10.0.0.1", "169.254.169.254"):
        network = NetworkUse(hosts=(address,))
        assert await fault(fetcher(), request(f"https://{address}/"), network) == "fetch_refused", address


async def test_a_name_that_turns_private_is_refused_at_the_redirect_that_looks_it_up_again(tmp_path: Path) -> None:
    names = Names(api_example_com=["127.0.0.1", "10.0.0.1"])

    # A connection carries one request, so the second request connects again.
    async with site(lambda _: moved("/again"), server_tls(tmp_path)) as web:
        assert await fault(fetcher(names), request(f"https://{HOST}:{web.port}/")) == "fetch_refused"
        assert web.targets == ["/"]
    assert names.asked == [HOST, HOST]


async def test_redirects_lead_only_to_allowed_hosts_and_never_out_of_tls(tmp_path: Path) -> None:
    places = ["https://127.0.0.1/", "https://other.example/", f"http://{HOST}/", "https://10.0.0.1/", "file:///etc"]
    async with site(lambda target: moved(places[int(target[1:])]), server_tls(tmp_path)) as web:
        for number, place in enumerate(places):
            asked = request(f"https://{HOST}:{web.port}/{number}")
            assert await fault(fetcher(), asked) == "fetch_refused", place
        assert len(web.targets) == len(places)
    async with site(lambda _: moved("/"), server_tls(tmp_path)) as web:
        assert await fault(fetcher(), request(f"https://{HOST}:{web.port}/")) == "fetch_failed"
        assert len(web.targets) == 6


async def test_an_allowed_redirect_is_followed(tmp_path: Path) -> None:
    async with site(lambda target: page("here") if target == "/b" else moved("/b"), server_tls(tmp_path)) as web:
        answer = await fetcher().fetch(request(f"https://{HOST}:{web.port}/a"), EVERY_PORT)
    assert (answer.status, answer.body) == (200, b"here")


async def test_a_certificate_of_another_authority_or_for_another_name_is_refused(tmp_path: Path) -> None:
    for name in ("other.example", "api.example.org"):
        async with site(lambda _: page("x"), server_tls(tmp_path, name)) as web:
            assert await fault(fetcher(), request(f"https://{HOST}:{web.port}/")) == "fetch_failed"
            assert web.seen == []


async def test_an_answer_has_a_limit_however_long_it_is(tmp_path: Path) -> None:
    async def much(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n")
        try:
            for _ in range(160):
                writer.write(bytes(65_536))
                await writer.drain()
        except OSError:
            pass

    async with server(much, tls=server_tls(tmp_path)) as web:
        assert await fault(fetcher(), request(f"https://{HOST}:{web.port}/")) == "fetch_too_large"
    async with site(lambda _: page(bytes(MAX_BODY_BYTES)), server_tls(tmp_path)) as web:
        url = f"https://{HOST}:{web.port}/"
        assert len((await fetcher().fetch(request(url), EVERY_PORT)).body) == MAX_BODY_BYTES
        assert await fault(fetcher(), request(url, most=8_192)) == "fetch_too_large"


async def test_a_server_that_speaks_no_http_or_ends_is_an_error(tmp_path: Path) -> None:
    answers = (b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
    for answer in answers:
        async with server(answer, tls=server_tls(tmp_path)) as web:
            assert await fault(fetcher(), request(f"https://{HOST}:{web.port}/")) == "fetch_failed", answer


async def test_twenty_fetches_at_once_are_made_in_turns(web: Server) -> None:
    fetching = fetcher()
    url = f"https://{HOST}:{web.port}/"
    answers: list[ProgramAnswer] = await asyncio.gather(*(fetching.fetch(request(url), EVERY_PORT) for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
