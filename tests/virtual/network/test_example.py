"""examples/mqtt_c, as it is, at a real broker."""

from __future__ import annotations

from pathlib import Path

from tests.mosquitto import Broker, wait_for
from tests.virtual.network.conftest import MakeBench
from tests.virtual.network.test_mqtt import listening

SOURCE = (Path(__file__).parents[3] / "examples/mqtt_c/mqtt_c.c").read_text(encoding="utf-8")
LAMP = 4
BUTTON = 5


async def test_the_example_switches_its_lamp_and_tells_of_its_button(make_bench: MakeBench, broker: Broker) -> None:
    bench = make_bench()
    source = SOURCE.replace("192.168.1.5:1883", f"127.0.0.1:{broker.port}")
    assert source != SOURCE
    with listening(broker, "home/#") as (other, heard):

        def told(topic: str) -> list[bytes]:
            return [bytes(message.payload) for message in heard if message.topic == topic]

        app = await bench.run(source)
        bench.wait_line("connected")
        wait_for(lambda: told("home/board") == [b"online"], "the board's greeting")
        other.publish("home/lamp/set", b"on", 1)
        wait_for(lambda: told("home/lamp") == [b"on"], "the lamp's state")
        assert bench.board.level(LAMP) == 1
        other.publish("home/lamp/set", b"off", 1)
        wait_for(lambda: told("home/lamp") == [b"on", b"off"], "the lamp's second state")
        assert bench.board.level(LAMP) == 0
        other.publish("home/lamp/set", b"dance", 1)
        bench.wait_line("no such order: dance")
        bench.board.set_input(BUTTON, 0)
        wait_for(lambda: told("home/button") == [b"1"], "the first press")
        bench.board.set_input(BUTTON, 1)
        assert app.stop()
