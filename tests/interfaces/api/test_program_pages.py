"""The pages of a program on a virtual board, over real HTTP: who may open them, what passes, and what never does."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path

import pytest
from tests.stories.conftest import joined_board, running_host

from microclaw.host.auth import operations as people
from microclaw.host.operations.client import Client, HostError
from microclaw.programs.changes import operations as programs
from microclaw.programs.changes.page_operations import give_page

SOURCE = (Path(__file__).parents[2] / "vectors" / "pages.c").read_text()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: str


@dataclass(frozen=True)
class PagesHost:
    """A host with the program `lamp` on virtual-1."""

    address: str
    client: Client

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """One request over a connection of its own."""
        with closing(HTTPConnection(self.address, timeout=60)) as connection:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode("latin-1"))

    def raw(self, message: bytes) -> int:
        """The status of a request with these bytes."""
        host, _, port = self.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(message)
            return int(connection.recv(100).split()[1])

    def signed_in(self) -> dict[str, str]:
        """The cookie of a new session of the owner."""
        path = self.client.post("/v1/signin/links", {"person": "owner"})["path"]
        code = re.split(r"[#=/]", str(path))[-1]
        body = b'{"code": "%s"}' % code.encode()
        answer = self.ask("POST", "/v1/signin/code", {"Content-Type": "application/json"}, body)
        return {"Cookie": str(answer.headers["Set-Cookie"]).partition(";")[0]}

    def ticket_path(self) -> str:
        """The path that a signed-in browser is sent to."""
        return str(self.ask("GET", "/app/lamp/", self.signed_in()).headers["Location"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesHost]:
    with running_host(tmp_path_factory.mktemp("pages") / "home", "--virtual", "1") as host:
        client = Client(Path(host.facts["control"]))
        client.call(programs.install, device="virtual-1", name="lamp", source=SOURCE, heap_bytes=16_384, force=True)
        yield PagesHost(str(host.facts["http"]).removeprefix("http://"), client)


def test_a_signed_in_browser_gets_the_page_in_an_origin_of_its_own_and_links_stay_below_it(pages: PagesHost) -> None:
    path = pages.ticket_path()
    assert re.fullmatch(r"/app/lamp/~s-[^/]+/", path)
    answer = pages.ask("GET", path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.headers["Set-Cookie"] is None
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    assert "allow-same-origin" not in policy
    assert f'href="{path}led/on"' in answer.body
    assert f"href={path}led/off" in answer.body
    assert f'action="{path}name"' in answer.body
    assert f"location.href='{path}led/on'" in answer.body
    assert f"url({path}back.png)" in answer.body


def test_requests_reach_the_program_and_its_answer_comes_back(pages: PagesHost) -> None:
    path = pages.ticket_path()
    switched = pages.ask("GET", f"{path}led/on")
    assert (switched.status, switched.headers["Location"]) == (302, path)
    state = pages.ask("PUT", f"{path}state", {"Origin": "null", "Content-Type": "application/json"}, b'{"on": 1}')
    assert (state.status, state.body) == (200, "on by PUT")
    assert state.headers["Access-Control-Allow-Origin"] == "null"
    assert state.headers["Cache-Control"] == "max-age=5"
    assert pages.ask("HEAD", f"{path}state").status == 200
    assert pages.ask("OPTIONS", f"{path}state", {"Origin": "null"}).status == 204
    assert pages.ask("GET", f"{path}led/off").status == 302
    assert pages.ask("GET", f"{path}elsewhere").headers["Location"] == f"{path}x"
    assert pages.ask("GET", path.removesuffix("/")).headers["Location"] == path
    # The path and the query arrive as they were sent, with few of the browser's fields.
    pages.ask("POST", f"{path}a%2fb/../c?q=1&r=%20", {"Content-Type": "text/plain", "Cookie": "a=b", "X-A": "1"}, b"hi")
    last = pages.ask("GET", f"{path}last").body
    assert last.startswith("POST /a%2fb/../c?q=1&r=%20 HTTP/1.1\r\n")
    assert last.endswith("Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
    assert "Cookie" not in last


def test_nobody_gets_in_without_a_credential_for_this_page(pages: PagesHost) -> None:
    path = pages.ticket_path()
    cookie = pages.signed_in()
    assert pages.ask("GET", "/app/lamp/").status == 401
    assert pages.ask("GET", f"{path[:-2]}/").status == 401
    # A ticket is for one page, and no cookie counts beside it.
    assert pages.ask("GET", path.replace("lamp", "lamp@virtual-1"), cookie).status == 401
    # Another site's link opens the first page, and acts on nothing.
    assert re.fullmatch(r"/app/lamp/~[^/]+/", pages.ask("GET", "/app/lamp/led/on", cookie).headers["Location"])
    foreign = {"Origin": "https://elsewhere.example"}
    for method in ("GET", "POST"):
        assert pages.ask(method, f"{path}name", foreign, b"").status == 403
        assert pages.ask(method, "/app/lamp/name", {**foreign, **cookie}, b"").status == 403
    assert pages.ask("POST", "/app/lamp/name", cookie, b"").status == 403
    # The page's own origin opens nothing else.
    assert pages.ask("GET", "/v1/me", {"Origin": "null", **cookie}).status == 403
    assert pages.ask("GET", "/app/lamp/", {"Origin": "null", **cookie}).status == 403
    assert pages.ask("GET", path, {"Host": "elsewhere.example"}).status == 403


def test_a_ticket_ends_with_its_session(pages: PagesHost) -> None:
    path = pages.ticket_path()
    assert pages.ask("GET", f"{path}state").status == 200
    session = re.search(r"~(s-[^.]+)", path)
    assert session is not None
    pages.client.delete(f"/v1/signins/{session[1]}")
    assert pages.ask("GET", f"{path}state").status == 401


def test_programs_that_answer_badly_are_told_in_words(pages: PagesHost) -> None:
    path = pages.ticket_path()
    for name in ("half", "text", "breaks"):
        answer = pages.ask("GET", path + name)
        assert (name, answer.status) == (name, 502)
        assert answer.body.startswith("<!DOCTYPE html>")
        assert answer.headers["Set-Cookie"] is None
        # The page's own script may read why its call failed.
        assert answer.headers["Access-Control-Allow-Origin"] == "null"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert pages.ask("POST", f"{path}name", {}, b"x" * 17_000).status == 413
    assert pages.ask("GET", "/app/nothing/", pages.signed_in()).status == 303
    nothing = pages.ask("GET", "/app/nothing/", pages.signed_in()).headers["Location"]
    assert pages.ask("GET", str(nothing)).status == 404
    assert pages.raw(b"GET /app/..%2fv1/me HTTP/1.1\r\nHost: " + pages.address.encode() + b"\r\n\r\n") == 401


def test_a_silent_program_gets_504_and_is_asked_again(pages: PagesHost) -> None:
    path = pages.ticket_path()
    silent = pages.ask("GET", f"{path}silent")
    assert (silent.status, "gave no answer" in silent.body) == (504, True)
    assert pages.ask("GET", f"{path}state").status == 200


def test_fifty_clients_at_once_are_answered_or_told_to_come_again(pages: PagesHost) -> None:
    path = pages.ticket_path()

    def status_of(_: int) -> int:
        return pages.ask("GET", f"{path}state").status

    with ThreadPoolExecutor(50) as clients:
        statuses = list(clients.map(status_of, range(50)))
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 9
    assert pages.ask("GET", f"{path}state").status == 200


def test_an_address_with_a_token_opens_one_page_until_it_is_ended(pages: PagesHost) -> None:
    given = pages.client.call(give_page, name="lamp", days=2)
    address, _, path = given.url.removeprefix("http://").partition("/")
    assert address == pages.address
    assert re.fullmatch(r"app/lamp@virtual-1/~mc_[\w-]{43}/", path)
    assert pages.ask("GET", f"/{path}state").body.startswith("o")
    assert pages.ask("POST", f"/{path}name", {"Origin": "null"}, b"name=x").status == 404
    secret = path.split("~")[1].rstrip("/")
    # It is no token of the API, and for no other program.
    assert pages.ask("GET", "/v1/me", {"Authorization": f"Bearer {secret}"}).status == 401
    assert pages.ask("GET", f"/app/other@virtual-1/~{secret}/").status == 401
    assert pages.ask("GET", f"/app/lamp/~{secret}/").status == 401
    listed = {token.name: token for token in pages.client.call(people.list_tokens).tokens}
    assert (listed[given.token].page, listed[given.token].role) == ("lamp@virtual-1", "member")
    pages.client.call(people.remove_token, name=given.token)
    assert pages.ask("GET", f"/{path}state").status == 401
    with pytest.raises(HostError, match="no program 'other'"):
        pages.client.call(give_page, name="other", device="virtual-1")
    blink = "int main(void) { return 0; }"
    pages.client.call(programs.install, device="virtual-1", name="blink", source=blink, force=True)
    with pytest.raises(HostError, match="blink has no pages"):
        pages.client.call(give_page, name="blink")
    ticket_path = str(pages.ask("GET", "/app/blink/", pages.signed_in()).headers["Location"])
    refused = pages.ask("GET", ticket_path)
    assert (refused.status, "blink has no pages" in refused.body) == (404, True)
    shown = pages.client.call(programs.show, device="virtual-1", name="lamp")
    assert shown.page == "/app/lamp@virtual-1/"


SERVER = """
import socket
s = socket.socket()
s.bind(("", 80))
s.listen(5)
while True:
    c, a = s.accept()
    request = c.recv(1024)
    if request.startswith(b"GET /silent"):
        silent = c
        continue
    if request.startswith(b"GET /ends"):
        c.close()
        continue
    c.send("HTTP/1.1 200 OK\\nContent-Type: text/plain\\nConnection: close\\n\\n")
    c.sendall(request.split(b" ")[1] + b" " + b"x" * 3000)
    c.close()
"""


def test_a_python_programs_own_server_is_at_the_same_kind_of_address(tmp_path: Path) -> None:
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    with running_host(tmp_path / "home") as host, joined_board(host, "desk"):
        ran = host.run("run", str(program), "-d", "desk", "--yes")
        assert ran.code == 0, ran.err
        client = Client(Path(host.facts["control"]))
        address, _, path = client.call(give_page, name="server").url.removeprefix("http://").partition("/")
        pages = PagesHost(address, client)
        for name in ("a", "b"):
            answer = pages.ask("GET", f"/{path}{name}")
            assert (answer.status, answer.body) == (200, f"/{name} " + "x" * 3000)
        silent = pages.ask("GET", f"/{path}silent")
        assert (silent.status, "gave no answer" in silent.body) == (504, True)
        ended = pages.ask("GET", f"/{path}ends")
        assert (ended.status, "it sent nothing" in ended.body) == (502, True)
        client.call(programs.stop, device="desk", name="server")
        stopped = pages.ask("GET", f"/{path}a")
        assert (stopped.status, "server does not run on desk" in stopped.body) == (404, True)
        assert "microclaw app start server -d desk" in stopped.body
