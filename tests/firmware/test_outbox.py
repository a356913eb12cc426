"""The outbox's file: cut anywhere, it has what was taken; a full flash refuses; epochs are renewed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.firmware.conftest import SMALL, micropython
from tests.firmware.programs import compiled

HEAD = """
import cbor, os, outbox
def message(n):
    return bytes(cbor.dumps({"v": 1, "n": n}))
def waiting(box):
    found = []
    while True:
        data = box.next()
        if data is None:
            return found
        m = cbor.loads(data[1:])
        found.append((m["seq"], m["n"]))
"""


@pytest.fixture
def run_outbox(tmp_path: Path) -> Callable[[str], str]:
    """Run a script over an outbox's file in a folder of its own."""
    return lambda script: micropython(f"import os\nos.chdir({str(tmp_path)!r})\n{HEAD}{script}")


def test_a_file_cut_at_any_byte_has_every_whole_record(run_outbox: Callable[[str], str]) -> None:
    out = run_outbox("""
box = outbox.Outbox("outbox")
box.start(b"hosthost")
for n in range(1, 4):
    box.append(message(n))
box.take(1, b"i" * 16, ["device.info", {}, True])
whole = open("outbox", "rb").read()
told = []
for size in range(len(whole) + 1):
    with open("outbox", "wb") as file:
        file.write(whole[:size])
    cut = outbox.Outbox("outbox")
    told.append((len(waiting(cut)), cut.rx_seq, len(cut.calls), cut.tx_epoch == box.tx_epoch))
    cut.append(message(9))
    again = outbox.Outbox("outbox")
    assert waiting(again)[-1][1] == 9, size
print(sorted(set(told)))
print(told[-1])
""").splitlines()
    assert out[1] == "(3, 1, 1, True)"
    assert eval(out[0]) == [
        (0, 0, 0, False), (0, 0, 0, True), (1, 0, 0, True), (2, 0, 0, True), (3, 0, 0, True), (3, 1, 1, True),
    ]  # fmt: skip


def test_a_cursor_that_does_not_fit_renews_the_epoch_and_numbers_from_one(run_outbox: Callable[[str], str]) -> None:
    out = run_outbox("""
box = outbox.Outbox("outbox")
first = box.tx_epoch
for n in range(1, 6):
    box.append(message(n))
assert box.resume(first, 2) and waiting(box) == [(3, 3), (4, 4), (5, 5)]
assert not box.resume(first, 9)
assert box.tx_epoch != first
box = outbox.Outbox("outbox")
assert box.resume(first, 9)
print(waiting(box))
assert not box.resume(box.tx_epoch, 4)
""")
    assert out == "[(1, 3), (2, 4), (3, 5)]\n"


def test_the_last_256_ids_have_no_second_effect_also_after_a_start(run_outbox: Callable[[str], str]) -> None:
    out = run_outbox("""
def id(n):
    return bytes(12) + n.to_bytes(4, "big")
box = outbox.Outbox("outbox")
box.start(b"hosthost")
for n in range(1, 300):
    assert box.take(n, id(n))
box = outbox.Outbox("outbox")
box.start(b"hosthost")
print(box.rx_seq, box.take(300, id(299)), box.take(301, id(60)), box.take(302, id(2)))
""")
    assert out == "299 False False True\n"


def test_a_full_flash_refuses_the_event_and_keeps_what_is_there_also_as_the_file_is_written_anew(
    run_outbox: Callable[[str], str],
) -> None:
    out = run_outbox("""
box = outbox.Outbox("outbox")
box.append(message(1))
real = outbox.Outbox.put
def put(box, file, data):
    file.write(data[:3])
    raise OSError(28)
def full(change):
    outbox.Outbox.put = put
    try:
        change()
        print("taken")
    except OSError as exc:
        print("refused", exc.errno)
    outbox.Outbox.put = real
full(lambda: box.append(message(2)))
box.append(message(3))
full(box.rewrite)
print(waiting(box), waiting(outbox.Outbox("outbox")))
""").splitlines()
    assert out == ["refused 28", "refused 28", "[(1, 1), (2, 3)] [(1, 1), (2, 3)]"]


def test_a_message_that_does_not_fit_into_the_memory_becomes_one_that_says_so(tmp_path: Path) -> None:
    """Taken before there was a bound, or while there was more memory. What comes after it goes on."""
    script = f"""
sys.path[:0] = [{str(compiled(tmp_path / "fw"))!r}]
import gc, os
os.chdir({str(tmp_path)!r})
{HEAD}
box, ballast = outbox.Outbox("outbox"), []
outbox.MAX_MESSAGE = 16384
big = cbor.dumps({{"v": 1, "n": 0, "text": "x" * 15000}})
box.append(big, b"c" * 16)
del big
box.append(message(2))
box.rewrite()
gc.collect()
while gc.mem_free() > 14000:
    ballast.append(bytearray(256))
box = outbox.Outbox("outbox")  # the start does not need it in memory either
box.rewrite()
try:
    box.next()
    print("fits")
except MemoryError:
    size, small = box.too_large(box.sent)
    ballast.clear()
    m = cbor.loads(small[1:])
    print(size, m["seq"], m["type"], m["re"], m["body"]["error"]["code"])
print(cbor.loads(box.next()[1:])["seq"], cbor.loads(box.message(1)[1:])["text"] == "x" * 15000)
"""
    out = micropython(script, program=SMALL, options=("-X", "heapsize=160K"))
    assert out.splitlines() == ["15015 1 result b'cccccccccccccccc' too_large", "2 True"]
