"""A runner in a process of a test: the programs are files in the folder sys.argv[1], installed under their names."""

import asyncio
import hashlib
import json
import os
import sys
import time

import board
import machine
from runner import Runner

FOLDER = sys.argv[1]
FACTS = {"reserved": {"6": "the flash", "7": "the flash"}, "memory_floor": 0, "reserve": 1 << 30}
told = []


class Board(board.Board):
    def __init__(self, facts=None):
        super().__init__(facts)
        self.is_small = False  # nothing but quotas is short here


def emit(kind, data):
    told.append((kind, data))


def events(name=None):
    found = [data for kind, data in told if kind == "event"]
    return [e for e in found if e["name"] == name] if name else found


def lines():
    return [data["text"] for kind, data in told if kind == "log"]


def new_runner(**facts):
    more = dict(FACTS)
    more.update(facts)
    return Runner(Board(more), FOLDER + "/apps", emit)


def image(name):
    with open("%s/%s.mpy" % (FOLDER, name), "rb") as file:
        return file.read()


def upload(runner, name, data, autostart=True, heap=8192, **network):
    digest = hashlib.sha256(data).digest()
    at = runner.begin(name, "py", len(data), digest, heap, autostart, **network)
    while at < len(data):
        at = runner.write(at, data[at : at + 512])


async def install(runner, name, of=None, autostart=True, heap=8192, **network):
    upload(runner, name, image(of or name), autostart, heap, **network)
    answer = await runner.commit()
    return answer["name"]


def row(runner, name):
    return [r for r in runner.list() if r["name"] == name][0]


async def until(check, ms=180000):
    end = time.ticks_add(time.ticks_ms(), ms)
    while not check():
        if time.ticks_diff(end, time.ticks_ms()) < 0:
            raise AssertionError("waited in vain")
        await asyncio.sleep_ms(5)


def refused(call):
    from errors import CallError

    try:
        call()
    except CallError as exc:
        return exc.code
    return None


async def refused_async(coro):
    from errors import CallError

    try:
        await coro
    except CallError as exc:
        return exc.code
    return None


def run(main):
    """Print what `main` returns, as JSON; null when the board was reset."""
    try:
        value = asyncio.run(main())
    except SystemExit:
        value = {"reset": len(machine.resets)}
    print(json.dumps(value))
