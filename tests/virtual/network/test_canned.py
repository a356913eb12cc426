"""The canned network of a board: lines answer what its programs ask, byte for byte and on the board's clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.virtual.conftest import MakeBench

from microclaw.errors import CallRejected, MicroclawError
from microclaw.virtual.clock import Clock
from microclaw.virtual.network import canned
from microclaw.virtual.network.board_network import MAX_SOCKETS, BoardNetwork
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.network.connection import MAX_WAITING_BYTES
from microclaw.virtual.network.mqtt_broker import topic_fits
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire import board_control as control
from microclaw.wire.board_replies import ChangePage, TrafficRow
from microclaw.wire.canned_lines import Broker, BrokerAway, BrokerMessage, CannedLine, HttpAnswer, PageRequest

GET = b"GET /x HTTP/1.0\r\nHost: api.example.org\r\n\r\n"
CONNECT = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05umqtt"
SUBSCRIBE = b"\x82\x0b\x00\x01\x00\x06home/+\x00"
PAGE = b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n<b>on</b>"


class CannedBench:
    """A canned network on a clock of its own, and what a program reads and sends there."""

    def __init__(self, *lines: CannedLine) -> None:
        self.clock = VirtualClock()
        self.network = CannedNetwork(self.clock)
        self.network.add(lines)

    def connect(self, host: str, port: int) -> int:
        handle = self.network.connect(self.network.look_up(host), port)
        assert self.network.is_open(handle)
        return handle

    def read(self, handle: int) -> bytes | None:
        return self.network.receive(handle, 65_536)

    def ask(self, request: bytes, host: str = "api.example.org", port: int = 80) -> tuple[bytes, bytes]:
        """The head and the body of the whole answer."""
        handle = self.connect(host, port)
        assert self.network.send(handle, request) == len(request)
        self.clock.advance(1_000)
        answer = self.read(handle) or b""
        assert self.read(handle) == b""
        self.network.close(handle)
        head, _, body = answer.partition(b"\r\n\r\n")
        return head, body

    def rows(self) -> list[tuple[str, str, int | None, str]]:
        return [(row.kind, row.what, row.status, row.text) for row in self.network.traffic().records]

    def subscribe(self, host: str = "test.example.org") -> int:
        handle = self.connect(host, 1883)
        self.network.send(handle, CONNECT + SUBSCRIBE)
        assert self.read(handle) == b"\x20\x02\x00\x00\x90\x03\x00\x01\x00"
        return handle


def number_of(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as exc:
        return exc.errno
    return None


def takes_nobody(network: BoardNetwork) -> bool:
    """Return True if the broker test.example.org refuses connections."""
    handle = network.connect("test.example.org", 1883)
    return number_of(lambda: network.is_open(handle)) == canned.ECONNREFUSED


def test_a_line_answers_its_request_after_its_time() -> None:
    bench = CannedBench(HttpAnswer("GET", "API.example.org", "/x", text='{"t": 21}', delay_ms=300))
    handle = bench.connect("api.example.org", 80)
    bench.network.send(handle, GET[:9])
    bench.network.send(handle, GET[9:])
    bench.clock.advance(299)
    assert bench.read(handle) is None
    bench.clock.advance(2)
    answer = bench.read(handle)
    assert answer is not None
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"application/json" in answer
    assert answer.endswith(b'\r\n\r\n{"t": 21}')
    assert bench.read(handle) == b""
    assert bench.rows() == [("asked", "GET api.example.org/x", 200, "")]


def test_lines_for_one_request_answer_one_after_the_other() -> None:
    bench = CannedBench(
        HttpAnswer("GET", "api.example.org", "/x", status=500),
        HttpAnswer("GET", "api.example.org", "/x", text="a"),
        HttpAnswer("GET", "api.example.org", "/x?q=1", text="b"),
    )
    other = GET.replace(b"/x", b"/x?q=2")
    query = GET.replace(b"/x", b"/x?q=1")
    assert [bench.ask(text)[0][9:12] for text in (GET, GET, GET)] == [b"500", b"200", b"200"]
    assert [bench.ask(text)[1] for text in (other, query)] == [b"a", b"b"]


def test_the_parameters_of_a_query_may_come_in_any_order() -> None:
    bench = CannedBench(
        HttpAnswer("GET", "api.example.org", "/x?n=1&zone=CH", text="a"),
        HttpAnswer("GET", "api.example.org", "/x?n=1&n=2", text="b"),
    )
    turned = GET.replace(b"/x", b"/x?zone=CH&n=1")
    assert bench.ask(turned)[1] == b"a"
    # Of one name, the order may mean something.
    assert bench.ask(GET.replace(b"/x", b"/x?n=2&n=1"))[0].startswith(b"HTTP/1.1 404")


def test_what_a_program_sends_is_recorded() -> None:
    bench = CannedBench(HttpAnswer("POST", "api.example.org", "/log", status=204, headers=(("X-Id", "7"),)))
    body = b"POST /log HTTP/1.1\r\nHost: api.example.org\r\nContent-Length: 6\r\n\r\nt=21.5"
    head, rest = bench.ask(body)
    assert (b"x-id: 7" in head.lower(), rest) == (True, b"")
    assert bench.rows() == [("asked", "POST api.example.org/log", 204, "t=21.5")]


def test_a_host_without_a_line_is_unknown_by_its_name() -> None:
    bench = CannedBench(HttpAnswer("GET", "api.example.org", "/x"))
    assert number_of(lambda: bench.network.look_up("other.example.org")) == -canned.ENOENT
    assert number_of(lambda: bench.network.connect("192.168.1.5", 80)) == canned.EHOSTUNREACH
    assert number_of(lambda: bench.connect("api.example.org", 8080)) == canned.EHOSTUNREACH
    assert bench.ask(GET.replace(b"/x", b"/y"))[0].startswith(b"HTTP/1.1 404")
    assert [(kind, what) for kind, what, _, _ in bench.rows()] == [
        ("unknown", "other.example.org"),
        ("unknown", "192.168.1.5:80"),
        ("unknown", "api.example.org:8080"),
        ("unknown", "GET api.example.org/y"),
    ]


def test_an_address_with_leading_zeros_is_a_name_without_a_line() -> None:
    bench = CannedBench(HttpAnswer("GET", "192.168.1.5"))
    assert bench.network.look_up("192.168.1.5") == "192.168.1.5"
    for text in ("192.168.001.5", "192.168.1", "192.168.1.256", "192.168.1.\u0665"):
        assert number_of(lambda text=text: bench.network.look_up(text)) == -canned.ENOENT  # type: ignore[misc]


def test_a_server_refuses_breaks_off_and_says_nothing() -> None:
    bench = CannedBench(
        HttpAnswer("GET", "off.example.org", kind="refused"),
        HttpAnswer("GET", "api.example.org", "/x", kind="refused"),
        HttpAnswer("GET", "api.example.org", "/y", kind="no answer"),
    )
    assert number_of(lambda: bench.connect("off.example.org", 80)) == canned.ECONNREFUSED
    broken = bench.connect("api.example.org", 80)
    bench.network.send(broken, GET)
    assert number_of(lambda: bench.read(broken)) == canned.ECONNRESET
    silent = bench.connect("api.example.org", 443)
    bench.network.send(silent, GET.replace(b"/x", b"/y"))
    bench.clock.advance(60_000)
    assert bench.read(silent) is None


def test_a_broker_passes_messages_on_to_who_is_subscribed() -> None:
    bench = CannedBench(
        Broker("test.example.org"),
        BrokerMessage("home/lamp", "early", at_ms=10),
        BrokerMessage("home/lamp", "on", at_ms=2_000),
        BrokerMessage("home/lamp/x", "deep", at_ms=2_000),
    )
    bench.clock.advance(1_000)
    handle = bench.subscribe()
    bench.clock.advance(1_500)
    assert bench.read(handle) == b"\x30\x0d\x00\x09home/lampon"
    published = b"\x00\x06home/a\x00\x0721"
    bench.network.send(handle, b"\x32" + bytes([len(published)]) + published + b"\xc0\x00")
    assert bench.read(handle) == b"\x40\x02\x00\x07" + b"\x30\x0a\x00\x06home/a21" + b"\xd0\x00"
    assert [(kind, what, text) for kind, what, _, text in bench.rows()] == [
        ("lost", "home/lamp", "early"),
        ("received", "home/lamp", "on"),
        ("lost", "home/lamp/x", "deep"),
        ("published", "home/a", "21"),
    ]


def test_a_broker_that_is_away_breaks_off_and_takes_nobody_until_it_is_back() -> None:
    bench = CannedBench(Broker("test.example.org"), Broker("other.example.org"))
    handle = bench.subscribe()
    other = bench.subscribe("other.example.org")
    bench.network.add([BrokerAway("test.example.org", 60_000, at_ms=1_000)])
    bench.clock.advance(1_000)
    assert number_of(lambda: bench.read(handle)) == canned.ECONNRESET
    assert bench.read(other) is None
    bench.clock.advance(59_000)
    assert number_of(lambda: bench.connect("test.example.org", 1883)) == canned.ECONNREFUSED
    bench.clock.advance(1_001)
    bench.subscribe()
    assert [row[:2] for row in bench.rows()] == [("asked", "test.example.org:1883")]


@pytest.mark.parametrize("clock", [VirtualClock, Clock])
def test_a_broker_that_is_away_stays_away_over_a_reset(make_bench: MakeBench, clock: Callable[[], Clock]) -> None:
    bench = make_bench(clock())
    lines = (Broker("test.example.org"), BrokerAway("test.example.org", 3_600_000))
    bench.machine.perform(control.Network(lines))
    bench.board.reset()
    assert takes_nobody(bench.board.network)


def test_the_time_without_power_counts_for_a_broker_that_is_away(make_bench: MakeBench) -> None:
    bench = make_bench(VirtualClock())
    lines = (Broker("test.example.org"), BrokerAway("test.example.org", 60_000))
    bench.machine.perform(control.Network(lines))
    for off_ms, on_ms in ((10_000, 10_000), (30_000, 9_000)):
        bench.board.power_cut()
        bench.advance(off_ms)
        bench.board.power_on()
        bench.advance(on_ms)
        assert takes_nobody(bench.board.network)
    bench.board.power_cut()
    bench.advance(1_001)
    bench.board.power_on()
    assert not takes_nobody(bench.board.network)


def test_a_client_asks_the_programs_own_server() -> None:
    bench = CannedBench(
        PageRequest("POST", "/led", text="on=1", at_ms=1_000), PageRequest("GET", "/", port=8080, at_ms=2_000)
    )
    listener = bench.network.listen(80)
    assert bench.network.accept(listener) is None
    bench.clock.advance(1_000)
    handle = bench.network.accept(listener)
    assert handle is not None
    request = bench.read(handle) or b""
    assert request.startswith(b"POST /led HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\non=1")
    for byte in PAGE:
        bench.network.send(handle, bytes([byte]))
    bench.network.close(handle)
    bench.clock.advance(1_000)
    assert bench.rows() == [
        ("listening", ":80", None, ""),
        ("answered", "POST :80/led", 200, "<b>on</b>"),
        ("closed", "GET :8080/", None, "nothing takes connections on port 8080"),
    ]


def test_an_answer_that_is_no_http_says_why() -> None:
    bench = CannedBench(PageRequest("GET", "/"))
    assert bench.rows()[0][3].startswith("nothing")
    listener = bench.network.listen(80)
    bench.network.add([PageRequest("GET", "/")])
    handle = bench.network.accept(listener)
    assert handle is not None
    bench.network.send(handle, b"hello\r\n\r\n")
    bench.network.close(handle)
    reason = "no whole HTTP: it begins with 'hello', not with HTTP/1.1 and a status"
    assert bench.rows()[-1] == ("answered", "GET :80/", None, reason)


def test_the_board_reaches_its_own_listener() -> None:
    bench = CannedBench()
    changes: list[int] = []
    bench.network.on_change = changes.append
    listener = bench.network.listen(80)
    asking = bench.network.connect(canned.ITSELF, 80)
    served = bench.network.accept(listener)
    assert served is not None
    bench.network.send(asking, b"ping")
    assert bench.read(served) == b"ping"
    sent = bench.network.send(served, bytes(MAX_WAITING_BYTES + 1))
    assert sent == MAX_WAITING_BYTES
    assert bench.network.send(served, b"x") is None
    assert bench.network.receive(asking, 1) == b"\0"
    assert bench.network.send(served, b"x") == 1
    assert changes == [listener, served, asking, asking, served, asking]
    bench.network.close(served)
    assert len(bench.read(asking) or b"") == MAX_WAITING_BYTES
    assert bench.read(asking) == b""
    nobody = bench.network.connect(canned.ITSELF, 81)
    assert number_of(lambda: bench.network.is_open(nobody)) == canned.ECONNREFUSED


def test_ports_and_handles_that_are_wrong_are_refused() -> None:
    bench = CannedBench(HttpAnswer("GET", "api.example.org"))
    listener = bench.network.listen(80)
    assert number_of(lambda: bench.network.listen(80)) == canned.EADDRINUSE
    bench.network.close(listener)
    bench.network.close(listener)
    for call in (bench.network.accept, bench.network.is_open, bench.read):
        assert number_of(lambda call=call: call(listener)) == canned.EBADF  # type: ignore[misc]
    for _ in range(MAX_SOCKETS):
        bench.connect("api.example.org", 80)
    assert number_of(lambda: bench.network.listen(81)) == canned.ENFILE
    bench.network.power_cut()
    bench.network.listen(80)


def test_lines_are_bounded() -> None:
    bench = CannedBench()
    with pytest.raises(CallRejected):
        bench.network.add([Broker("test.example.org")] * (canned.MAX_LINES + 1))


def test_filters_fit_as_mqtt_says() -> None:
    fitting = [("a/b", "a/b"), ("a/+", "a/b"), ("+/+", "a/b"), ("#", "a/b"), ("a/#", "a"), ("a/#", "a/b/c"), ("+", "a")]
    other = [("a", "a/b"), ("a/b", "a"), ("+", "a/b"), ("a/+", "a"), ("b/#", "a/b")]
    assert [topic_fits(*pair) for pair in fitting] == [True] * len(fitting)
    assert [topic_fits(*pair) for pair in other] == [False] * len(other)


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_no_bytes_upset_a_server_or_a_broker(pieces: list[bytes], is_begun: bool) -> None:
    """The network answers, closes or breaks off: it raises nothing but OSError."""
    bench = CannedBench(HttpAnswer("GET", "api.example.org", "/x"), Broker("test.example.org"))
    bench.network.add([PageRequest("GET", "/")])
    listener = bench.network.listen(80)
    bench.network.add([PageRequest("GET", "/")])
    handles = [bench.connect("api.example.org", 80), bench.connect("test.example.org", 1883)]
    handles.append(bench.network.accept(listener) or 0)
    if is_begun:
        for handle, start in zip(handles, (GET[:20], CONNECT, PAGE[:20]), strict=True):
            bench.network.send(handle, start)
    for piece in pieces:
        for handle in handles:
            sent = number_of(lambda handle=handle, piece=piece: bench.network.send(handle, piece))  # type: ignore[misc]
            assert sent in (None, canned.ECONNRESET)
    bench.clock.advance(100)
    for handle in handles:
        bench.network.close(handle)


def test_lines_come_over_the_control_socket_and_traffic_goes_out_in_pages(make_bench: MakeBench) -> None:
    bench = make_bench(VirtualClock())
    lines = (Broker("test.example.org"), PageRequest("GET", "/", at_ms=1.0))
    assert control.decode_request(control.encode_request(1, control.Network(lines))) == (1, control.Network(lines))
    bench.machine.perform(control.Network(lines))
    for number in range(300):
        bench.machine.perform(control.Network((BrokerMessage(f"t{number}", "é" * 1_000),)))
    rows: list[TrafficRow] = []
    page: ChangePage[TrafficRow] = ChangePage((), 0, 0, more=True)
    while page.more:
        answer = bench.machine.perform(control.Traffic(page.next))
        assert isinstance(answer, ChangePage)
        assert len(control.encode_reply(1, answer)) < control.MAX_REPLY_BYTES
        page = answer
        rows += page.rows
    assert rows[-1].what == "t299"
    assert len(rows) < 300
    bench.machine.board.reset()
    bench.advance(10)
    with pytest.raises(MicroclawError):
        bench.machine.perform(control.Network((PageRequest("GET", "/", at_ms=1.0),)))


def test_the_time_of_each_timed_line_must_be_to_come(make_bench: MakeBench) -> None:
    bench = make_bench(VirtualClock())
    bench.advance(10)
    for line in (BrokerAway("test.example.org", 1_000), BrokerMessage("a", "x"), PageRequest("GET", "/")):
        for at_ms in (9.0, 2.0**54):
            with pytest.raises(CallRejected, match="at_ms"):
                bench.machine.perform(control.Network((structs.replace(line, at_ms=at_ms),)))


def test_a_line_that_is_wrong_is_refused_whole() -> None:
    wrong = [
        {"line": "http", "method": "get", "host": "a"},
        {"line": "http", "method": "GET", "host": "a", "path": "/x y"},
        {"line": "http", "method": "GET", "host": "a", "headers": [["X", "a\r\nb"]]},
        {"line": "http", "method": "GET", "host": "a", "text": "x" * 4_001},
        {"line": "message", "topic": "a/#", "text": ""},
        {"line": "request", "method": "GET", "path": "x"},
        {"line": "other"},
    ]
    for line in wrong:
        request = {"id": 1, "op": "network", "lines": [line]}
        with pytest.raises(control.RequestRefused):
            control.decode_request(str(request).replace("'", '"').encode())
