"""Runs every fuzz target on seeded random bytes and on mutations of real messages. The same inputs on each run.

With MICROCLAW_FUZZ_S=60 (make fuzz) each target gets new inputs for so many seconds instead, with MICROCLAW_FUZZ_ALL_S
(make fuzz-minute, as CI does) all of them together so many seconds of the clock. MICROCLAW_FUZZ_SEED says which new
ones. corpus/TARGET/ has inputs of its own: what a target once failed at belongs there, and good ones to begin with. A
coverage-guided fuzzer can use the same files: each `fuzz_one(data)` lists every allowed error in its except clauses.

A failure shows its input, and the command that repeats it with that input alone (MICROCLAW_FUZZ_INPUT).
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import runpy
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.host.egress.test_allowlist import RIGHT, WRONG
from tests.host.egress.test_bypasses import SMUGGLED

ROOT = Path(__file__).parents[2]
TARGETS = sorted(Path(__file__).parent.glob("fuzz_*.py"))
RUNS = 500
ALL_S = float(os.environ.get("MICROCLAW_FUZZ_ALL_S", "0"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
FUZZ_S = float(os.environ.get("MICROCLAW_FUZZ_S", "0")) or ALL_S * WORKERS / len(TARGETS)
SEED = os.environ.get("MICROCLAW_FUZZ_SEED") or secrets.token_hex(8)
ONE_INPUT = os.environ.get("MICROCLAW_FUZZ_INPUT")  # in base64
SPECIAL = (
    b"\x12\x34",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\n",
    b'"',
    b"{",
    b"}",
    b"[",
    b"1e999",
    b"\xc3\x28",
)


def saved(target: str) -> list[bytes]:
    folder = Path(__file__).parent / "corpus" / target
    if folder.is_dir():
        return [path.read_bytes() for path in sorted(folder.iterdir())]
    return []


def corpus() -> list[bytes]:
    cases = json.loads((ROOT / "tests/vectors/wasmachine.json").read_text())["cases"]
    frames = [bytes.fromhex(raw) for case in cases for raw in (case["to_device"], *case["from_device"]) if raw]
    payloads = [frame[8:] for frame in frames]
    bodies = [p[16:] if f[3] == 3 else p[18:] for f, p in zip(frames, payloads, strict=True)]
    lines = re.findall(r"^[<>] (\{.*\})$", (ROOT / "docs/protocols/jsonline.md").read_text(), re.M)
    lines += [
        '{"id":1,"op":"edges","since":0}',
        '{"id":3,"op":"wire","parts":{"dht1":{"part":"dht22","data":4}}}',
        '{"id":2,"op":"set_sensor","sensor":"bme280","values":{"temperature_c":21.5},"at_ms":10}',
        '{"id":3,"ok":true,"edges":[[0.5,2,1]],"next":1,"dropped":0,"now_ms":1.0,"more":false}',
        '{"id":4,"ok":false,"error":"bad_request","message":"no","next":"yes"}',
        '{"stream":"edge","t_ms":1.5,"pin":2,"level":1,"seq":7}',
    ]
    data_seq = bytes.fromhex("01000000 02000000 02000000 0100 0400 24000000 0200 0100 28000000") + bytes(8)
    heads = [form.replace("{host}", "a.example.com") for form in SMUGGLED]
    texts = [*(head.encode("latin-1") for head in heads), RIGHT.encode(), WRONG.encode()]
    texts += [line.encode() + b"\n" for line in lines]
    found = {*texts, *frames, *payloads, *bodies, data_seq, b"".join(frames[:8])}
    return sorted(found)


def mutate(chance: random.Random, data: bytes) -> bytes:
    buffer = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(buffer) + 1)
        match chance.randrange(5):
            case 0 if buffer:
                buffer[at % len(buffer)] = chance.randrange(256)
            case 1:
                del buffer[at : at + chance.randint(1, 16)]
            case 2:
                buffer[at:at] = chance.choice(SPECIAL)
            case 3:
                buffer[at : at + 4] = chance.choice(SPECIAL)
            case _:
                buffer += buffer[at : at + 32]
    return bytes(buffer)


def inputs(target: str) -> Iterator[bytes]:
    if ONE_INPUT is not None:
        yield base64.b64decode(ONE_INPUT, validate=True)
        return
    until_s = time.monotonic() + FUZZ_S
    chance = random.Random(f"{target} {SEED}" if FUZZ_S else target)
    own = saved(target)
    real = [*corpus(), *own, *own, *own]  # its own ones more often
    yield from (b"", *real)
    done = 0
    while time.monotonic() < until_s if FUZZ_S else done < RUNS:
        done += 1
        yield chance.randbytes(chance.randrange(200))
        yield mutate(chance, chance.choice(real))


@pytest.mark.parametrize("target", TARGETS, ids=lambda path: path.stem)
def test_target_raises_only_what_it_lists(target: Path) -> None:
    fuzz_one: Callable[[bytes], None] = runpy.run_path(str(target))["fuzz_one"]
    for data in inputs(target.stem):
        try:
            fuzz_one(data)
        except BaseException as exc:
            exc.add_note(repeated_by(target.stem, data))
            raise


def repeated_by(target: str, data: bytes) -> str:
    text = base64.b64encode(data).decode()
    if FUZZ_S:
        seed = f"of the seed {SEED}"
    else:
        seed = "of the inputs that are always the same"
    test = f"tests/fuzz/test_targets.py::{test_target_raises_only_what_it_lists.__name__}[{target}]"
    command = f"MICROCLAW_FUZZ_INPUT={text!r} python -m pytest '{test}'"
    return f"an input {seed}; once more with it alone:\n{command}"
