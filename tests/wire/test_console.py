"""A serial console's bytes become lines: whole, cut, cleaned and bounded, whatever comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from microclaw.wire.console import MAX_LINE_BYTES, MAX_LINES_AT_ONCE, NO_TEXT, ConsoleDecoder

BOOT = (
    b"I (310) main_task: Calling app_main()\r\n\x1b[0;32mI (702) app: ready\x1b[0m\r\nWASMachine> tick 0\r\ntick 1\r\n"
)
LINES = ["I (310) main_task: Calling app_main()", "I (702) app: ready", "tick 0", "tick 1"]


def test_colours_prompt_and_line_ends_are_taken_away_whole_or_byte_by_byte() -> None:
    assert ConsoleDecoder().receive(BOOT) == LINES
    decoder = ConsoleDecoder()
    assert [line for byte in BOOT for line in decoder.receive(bytes([byte]))] == LINES
    assert decoder.receive(b"working") == []
    assert decoder.quiet() == ["working"]  # a line without an end counts once it is quiet
    assert decoder.receive(b"done\n") == ["done"]


def test_long_lines_are_cut_rubbish_is_told_once_and_a_flood_keeps_its_newest_lines() -> None:
    decoder = ConsoleDecoder()
    assert [line for _ in range(50) for line in decoder.receive(b"a" * 100)] == ["a" * MAX_LINE_BYTES + "…"]
    assert decoder.receive(b"aaa\nnext\n") == ["next"]
    for ending in (b"\n", b""):
        rubbish = bytes(range(128, 256)) * 20 + ending
        assert [line for _ in range(5) for line in decoder.receive(rubbish)] == [NO_TEXT]
        assert decoder.receive(b"\nhello\n") == ["hello"]
    heard = decoder.receive(b"".join(b"%d\n" % n for n in range(10_000)))
    assert heard[0] == f"({10_000 - MAX_LINES_AT_ONCE} lines were left out)"
    assert heard[1:] == [str(n) for n in range(10_000 - MAX_LINES_AT_ONCE, 10_000)]


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_whatever_comes_lines_are_bounded_and_can_be_shown(pieces: list[bytes]) -> None:
    decoder = ConsoleDecoder()
    for piece in [*pieces, b"\nend\n"]:
        heard = decoder.receive(piece)
        assert all(line and len(line) <= MAX_LINE_BYTES + 1 and line.isprintable() for line in heard)
    assert heard[-1] == "end"
