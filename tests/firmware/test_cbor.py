"""The firmware's CBOR against the host's: every vector of docs/protocols/link.md, both ways, and what is refused."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

import cbor2
from tests.firmware.conftest import ROOT, micropython
from tests.link.end import BAD_CBOR

PAGE = (ROOT / "docs/protocols/link.md").read_text()
VECTORS = [bytes.fromhex(found) for found in re.findall(r"```message \S+\n([0-9a-f\n]+)```", PAGE)]
SCRIPT = """
import json, cbor
from binascii import hexlify, unhexlify
for line in open(WORDS[0]):
    try:
        print(hexlify(cbor.dumps(cbor.loads(unhexlify(line.strip())))).decode())
    except (ValueError, RuntimeError) as exc:
        print("refused", type(exc).__name__)
"""


def through(tmp_path: Path, *data: bytes) -> list[str]:
    """Each decoded and encoded again by the firmware."""
    path = tmp_path / "lines"
    path.write_text("".join(each.hex() + "\n" for each in data))
    return micropython(SCRIPT, str(path)).splitlines()


def test_every_message_of_the_page_and_numbers_of_every_width_come_out_as_they_went_in(tmp_path: Path) -> None:
    assert len(VECTORS) > 30
    numbers = [0, 23, 24, 255, 256, 65535, 65536, 2**32, 2**63 - 1, -1, -24, -25, -(2**63), 1.5, -0.25, 3.25e10, 2**-24]
    halves = [b"\xf9" + struct.pack(">e", value) for value in (1.5, -2.0, 2**-24, 65504.0, 0.0)]
    plain = [*VECTORS, *(cbor2.dumps(value) for value in numbers), cbor2.dumps(3.25, canonical=True), *halves]
    for before, after in zip(plain, through(tmp_path, *plain), strict=True):
        assert cbor2.loads(bytes.fromhex(after)) == cbor2.loads(before)


def test_what_the_page_forbids_is_refused(tmp_path: Path) -> None:
    bad = [message[1:] for message in BAD_CBOR.values()]
    heads = {b"\xf9": ">e", b"\xfa": ">f", b"\xfb": ">d"}
    bad += [head + struct.pack(form, n) for head, form in heads.items() for n in (math.inf, -math.inf, math.nan)]
    cut = [VECTORS[0][:size] for size in range(len(VECTORS[0]))]
    assert set(through(tmp_path, *bad, *cut)) == {"refused ValueError"}
