"""The trial's MQTT broker against a real one (mosquitto): the same bytes get the same answers, and the same end."""

from __future__ import annotations

import socket

import pytest
from tests.mosquitto import LIMIT_S, Broker

from microclaw.virtual.network import canned
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire import canned_lines

PING = b"\xc0\x00"
PONG = b"\xd0\x00"


def text(characters: str | bytes) -> bytes:
    data = characters.encode() if isinstance(characters, str) else characters
    return len(data).to_bytes(2, "big") + data


def packet(first: int, body: bytes) -> bytes:
    return bytes((first, len(body))) + body


def hello(keepalive_s: int = 0, level: int = 4, name: str = "MQTT", client: str = "me", flags: int = 2) -> bytes:
    return packet(0x10, text(name) + bytes((level, flags)) + keepalive_s.to_bytes(2, "big") + text(client))


def subscribe(*filters: str | bytes, first: int = 0x82, number: int = 1, qos: int = 0) -> bytes:
    return packet(first, number.to_bytes(2, "big") + b"".join(text(name) + bytes((qos,)) for name in filters))


def unsubscribe(*filters: str | bytes) -> bytes:
    return packet(0xA2, b"\x00\x01" + b"".join(map(text, filters)))


def publish(topic: str | bytes, first: int = 0x30, number: bytes = b"") -> bytes:
    return packet(first, text(topic) + number + b"hi")


FILTERS = ("home/+", "#", "+", "/", "a/+/b", "home/#/x", "a+b", "", "a/b#", "#x", "+x/a", "home/++", "a\0b", "a/\x01")
TOPICS = ("home/a", "/", "", "a/+", "#", "a#b", "a\0b", "a/\x01", b"\xff")
FORMS: dict[str, bytes] = {
    **{f"subscribe {name!r}": hello() + subscribe(name) for name in (*FILTERS, b"\xff")},
    **{f"unsubscribe {name!r}": hello() + unsubscribe(name) for name in FILTERS},
    **{f"publish {name!r}": hello() + publish(name) for name in TOPICS},
    "one bad filter of three": hello() + subscribe("a", "a+b", "c"),
    "no filter": hello() + subscribe(),
    "no filter to leave": hello() + unsubscribe(),
    "flags of a subscription": hello() + subscribe("a", first=0x80),
    "a subscription's number 0": hello() + subscribe("a", number=0),
    "a subscription of QoS 3": hello() + subscribe("a", qos=3),
    "QoS 1": hello() + publish("a", 0x32, b"\x00\x05"),
    "QoS 1, number 0": hello() + publish("a", 0x32, b"\x00\x00"),
    "QoS 2": hello() + publish("a", 0x34, b"\x00\x05") + b"\x62\x02\x00\x05",
    "QoS 3": hello() + publish("a", 0x36, b"\x00\x05"),
    "flags of a release": hello() + b"\x60\x02\x00\x05",
    "its own message": hello() + subscribe("a/+") + publish("a/b"),
    "a topic of the broker's": hello() + subscribe("#", "+/y") + publish("$x/y"),
    "a topic of the broker's by name": hello() + subscribe("$x/#") + publish("$x/y"),
    "CONNECT twice": hello() + hello(),
    "no CONNECT": b"",
    "MQTT 3.1": hello(level=3, name="MQIsdp"),
    "MQTT 3.1 by a wrong name": hello(level=3),
    "a level that does not exist": hello(level=9),
    "another protocol": hello(name="XXXX"),
    "no client id": hello(client=""),
    "no client id, without a clean session": hello(client="", flags=0),
    "no client id in MQTT 3.1": hello(level=3, name="MQIsdp", client=""),
    **{f"a packet of type {kind}": hello() + packet(kind << 4, b"\x00\x05") for kind in (0, 2, 4, 7, 9, 11, 13, 15)},
    "goodbye": hello() + b"\xe0\x00",
}


class TrialBroker:
    """The broker of a line, with a client that sends bytes to it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.network = CannedNetwork(self.clock)
        self.network.add([canned_lines.Broker("test.example.org")])

    def connect(self, data: bytes) -> int:
        handle = self.network.connect(self.network.look_up("test.example.org"), 1883)
        self.network.send(handle, data)
        return handle

    def answer(self, handle: int) -> tuple[bytes, bool]:
        """Return what came, and whether the broker closed the connection."""
        answer = self.network.receive(handle, 65_536)
        if not answer:
            return b"", answer == b""
        return answer, self.network.receive(handle, 1) == b""


def ask_mosquitto(port: int, data: bytes) -> tuple[bytes, bool]:
    """Return what came up to the answer of a ping, or up to the end, and whether it was the end."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(LIMIT_S)
        connection.sendall(data)
        try:
            while not answer.endswith(PONG):
                piece = connection.recv(65_536)
                if not piece:
                    return answer, True
                answer += piece
        except ConnectionResetError:
            # It closed before it had read all.
            return answer, True
    return answer, False


@pytest.mark.parametrize("form", FORMS)
def test_the_trials_broker_answers_as_mosquitto_does(form: str, broker: Broker) -> None:
    data = FORMS[form] + PING
    trial = TrialBroker()
    assert trial.answer(trial.connect(data)) == ask_mosquitto(broker.port, data)


def test_who_says_nothing_for_longer_than_its_keepalive_is_cut_off(broker: Broker) -> None:
    with socket.create_connection(("127.0.0.1", broker.port)) as connection:
        connection.settimeout(LIMIT_S)
        connection.sendall(hello(keepalive_s=1))
        assert connection.recv(4) == b"\x20\x02\x00\x00"
        assert connection.recv(1) == b""
    trial = TrialBroker()
    silent = trial.connect(hello(keepalive_s=60))
    pinging = trial.connect(hello(keepalive_s=60))
    without_end = trial.connect(hello(keepalive_s=0))
    for handle in (silent, pinging, without_end):
        assert trial.answer(handle) == (b"\x20\x02\x00\x00", False)
    trial.clock.advance(89_900)
    assert trial.answer(silent) == (b"", False)
    trial.network.send(pinging, PING)
    trial.clock.advance(200)
    assert trial.answer(silent) == (b"", True)
    assert trial.answer(pinging) == (PONG, False)
    trial.clock.advance(3_600_000)
    assert trial.answer(pinging) == (b"", True)
    assert trial.answer(without_end) == (b"", False)


def test_who_sends_to_a_broker_that_has_closed_loses_its_connection() -> None:
    trial = TrialBroker()
    handle = trial.connect(hello(keepalive_s=1))
    trial.clock.advance(2_000)
    trial.network.send(handle, publish("home/a"))
    with pytest.raises(OSError, match="broke the connection off") as error:
        trial.network.send(handle, publish("home/a"))
    assert error.value.errno == canned.ECONNRESET
    assert trial.network.traffic().records == ()
