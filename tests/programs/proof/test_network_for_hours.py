"""Three hours of board time of a program on the network, whose broker goes away three times; its memory stays."""

from __future__ import annotations

from pathlib import Path

from tests.programs.conftest import tried

GROWTH_BYTES = 1024
"""More in two hours would be a leak: of 240 rounds each leaves less than five bytes."""
PROGRAM = """
import gc, time
import requests
from umqtt.robust import MQTTClient
client = MQTTClient("me", "test.example.org")
client.DELAY = 30
client.connect()
began = time.time()
hours = 0
while True:
    client.publish(b"home/n", b"1")
    if requests.get("http://api.example.org/x", timeout=5).json()["t"] != 21:
        print("wrong answer")
    if time.time() - began >= 3590 * (hours + 1):
        hours += 1
        gc.collect()
        time.sleep(1)
        print("free", gc.mem_free())
    time.sleep(30)
"""
LINES = """http GET api.example.org/x -> 200 {"t": 21}
mqtt broker test.example.org
at 30 min mqtt broker test.example.org away for 5 min
at 80 min mqtt broker test.example.org away for 30 min
at 150 min mqtt broker test.example.org away for 1 min
mqtt home/n every 30 s ~ "1" from 1 min until 29 min
mqtt home/n never ~ "1" from 30.5 min until 34.9 min
mqtt home/n every 30 s ~ "1" from 36 min until 79 min
mqtt home/n never ~ "1" from 80.5 min until 109.9 min
mqtt home/n every 30 s ~ "1" from 111 min until 149 min
mqtt home/n every 30 s ~ "1" from 152 min until 179 min
log 3 times ~ "free .*" until 3 h
log never ~ "wrong.*"
for 3 h
soak 0 s"""


async def test_messages_flow_after_each_return_of_a_broker_and_no_memory_is_lost(build_cache: Path) -> None:
    trial = await tried(PROGRAM, build_cache, LINES, host_s=180.0)
    assert (trial.ok, trial.proof) == (True, "met in the trial"), trial.error
    free_bytes = [int(line.text.split()[1]) for line in trial.lines]
    assert free_bytes[-1] > free_bytes[0] - GROWTH_BYTES
