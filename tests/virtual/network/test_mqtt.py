"""A program's MQTT client against a real broker, and without a network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from tests.mosquitto import LIMIT_S, Broker, wait_for
from tests.virtual.network.conftest import MakeBench

from microclaw.virtual.virtual_clock import VirtualClock

PROGRAM = Path(__file__).with_name("mqtt.c").read_text(encoding="utf-8")
LOOP = r"""
    for (int n = 0;; n++) {
        char text[32];
        snprintf(text, sizeof text, "n=%d", n);
        esp_mqtt_client_publish(client, "from/me", text, 0, 1, 0);
        usleep(100000);
    }
"""


def program(port: int, more: str = "while (1) sleep(1);", name: str = "board") -> str:
    return PROGRAM.replace("PORT", str(port)).replace("MORE", more).replace("CLIENT", name)


@contextmanager
def listening(broker: Broker, topic: str) -> Iterator[tuple[paho.Client, list[paho.MQTTMessage]]]:
    """Another client of the broker, and what it heard under a topic."""
    heard: list[paho.MQTTMessage] = []
    ready = threading.Event()

    def subscribe(*_: object) -> None:
        client.subscribe(topic, 1)

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = subscribe
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _client, _data, message: heard.append(message)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert ready.wait(LIMIT_S)
    yield client, heard
    client.disconnect()
    client.loop_stop()


async def test_messages_go_both_ways_and_long_ones_come_in_pieces(make_bench: MakeBench, broker: Broker) -> None:
    bench = make_bench()
    with listening(broker, "from/me") as (other, heard):
        app = await bench.run(program(broker.port, LOOP))
        bench.wait_line("event 3 ")
        other.publish("to/me", b"hello", 1)
        other.publish("to/me", b"z" * 2100, 0)
        bench.wait_line("at 2038")
        wait_for(lambda: len(heard) >= 3, "the program's messages")
        assert [message.payload for message in heard[:3]] == [b"n=0", b"n=1", b"n=2"]
    lines = bench.lines()
    assert lines[0] == "early -1 -1"
    assert lines[1] == "start 0 again -1"
    assert "event 7 MQTT_EVENTS mine" in lines
    assert "got 'to/me' 'hello' 5/5 at 0 qos 1" in lines
    assert [line for line in lines if "zzz" in line] == [
        "got 'to/me' 'zzzzzzzzzzzz' 1014/2100 at 0 qos 0",
        "got '' 'zzzzzzzzzzzz' 1024/2100 at 1014 qos 0",
        "got '' 'zzzzzzzzzzzz' 62/2100 at 2038 qos 0",
    ]
    assert app.stop()


async def test_program_goes_on_without_its_broker_and_comes_back(
    make_bench: MakeBench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    broker = Broker(tmp_path_factory.mktemp("restarted"))
    broker.start()
    bench = make_bench()
    await bench.run(program(broker.port, LOOP))
    bench.wait_line("event 1 ")
    broker.stop()
    bench.wait_line("event 2 ")
    bench.wait_line("attempt 1, next in 1 s")
    bench.wait_line("error 1 8004 0")
    broker.start()
    wait_for(lambda: sum("event 1 " in line for line in bench.lines()) == 2, "a second connection")
    with listening(broker, "from/me") as (_other, heard):
        wait_for(lambda: heard, "messages after the return")
    broker.stop()


async def test_refusal_is_an_error_with_its_code_and_a_killed_program_leaves_its_will(
    make_bench: MakeBench, broker: Broker
) -> None:
    refused = make_bench()
    await refused.run(program(broker.password_port, name="stranger"))
    refused.wait_line("error 2 0 5")
    bench = make_bench()
    with listening(broker, "will") as (_other, wills):
        app = await bench.run(program(broker.port, name="killed"))
        bench.wait_line("event 1 ")
        app.kill()
        wait_for(lambda: wills, "the last will")
        assert wills[0].payload == b"gone"


async def test_without_a_network_it_is_tried_and_told_at_growing_intervals(make_bench: MakeBench) -> None:
    bench = make_bench(VirtualClock(), connect=None)
    await bench.run(program(1883).replace("127.0.0.1", "broker.example.org"))
    bench.advance(30_000)
    log = [(record.t_ms, record.text) for record in bench.board.log().records]
    assert (
        len([text for _, text in log if "broker.example.org:1883 was not tried: this board has no network" in text])
        == 1
    )
    assert [text for _, text in log].count("error 1 8001 0") == 6
    assert [round(t / 1000) for t, text in log if text.startswith("event 7")] == [0, 1, 3, 7, 15, 25]
