"""A .mpy that was cut: MicroPython's loader would hang the chip forever, so it is refused before it is read in."""

from __future__ import annotations

from tests.firmware.runner.conftest import MicroPython

PROGRAM = """
async def main(E):
    kept = [1.5, "a text that is long enough to be an object", b"bytes", (1, "two", 3 << 70)]
    def plus(a):
        return lambda b: a + b
    while True:
        await E.sleep(plus(1)(2))
"""


def test_a_program_that_was_cut_anywhere_is_refused_and_the_one_before_runs(micropython: MicroPython) -> None:
    """With the right checksum: a host that sends a torn file and its sum."""
    whole = micropython.compile("whole", PROGRAM).read_bytes()
    found = micropython.act("""
        await install(runner, "whole")
        data, codes = image("whole"), {}
        for size in range(8, len(data)):
            upload(runner, "whole", data[:size])
            code = await refused_async(runner.commit())
            codes[code] = codes.get(code, 0) + 1
        odd = []
        for head in (b"M\\x06\\x00\\x1f" + b"\\xff" * 40, b"M\\x06\\x08\\x1f", b"M\\x05\\x00\\x1f", b"not a program"):
            upload(runner, "whole", head + bytes(100))
            odd.append(await refused_async(runner.commit()))
        return [codes, odd, row(runner, "whole")["state"], "mpy_file" in sys.modules]
    """)
    assert found == [{"invalid_module": len(whole) - 8}, ["invalid_module"] * 4, "running", False]
