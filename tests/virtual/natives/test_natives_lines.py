"""UART and SPI nodes as ESP-IDF and esp-iot-solution serve them; nothing is wired to them."""

from __future__ import annotations

import pytest
from tests.virtual.natives.conftest import MakeBench

GLUE = """
static int config(int fd, u32 flags, u32 clock, u8 cs) { u8 sclk = 12, mosi = 11, miso = 13; seq(); add(1, 1, &cs);
    add(2, 1, &sclk); add(3, 1, &mosi); add(4, 1, &miso); add(5, 4, &flags); if (flags & 1) add(6, 4, &clock);
    return ioctl(fd, 0x8301, &q); }
static int exchange(int fd, const void *tx, void *rx, u32 *size) { seq(); add(1, 4, &tx); add(2, 4, &rx);
    add(3, 4, size); return ioctl(fd, 0x8302, &q); }
static void hex(const u8 *data, int n) { for (int i = 0; i < n; i++) printf("%02x", data[i]); printf("\\n"); }
"""


LINES = """void on_init(void) { static char b[9]; int f = open("/dev/uart/0", RW, 0), s = open("/dev/spi/2", RW, 0);
    u8 tx[4] = {0x9f}, rx[4] = {1}; u32 n = 4; printf("%d %d %d\\n", f < 0, write(f, "hi\\n", 3), read(f, b, 8));
    printf("%d %d %d %d ", s < 0, config(s, 1, 1000000, 10), exchange(s, tx, rx, &n), (int)n); hex(rx, 4); }"""


@pytest.mark.parametrize(
    ("nodes", "lines"),
    [((), ["1 -1 -1", "1 -1 -1 4 01000000"]), (("uart", "spi"), ["0 3 -1", "0 0 0 4 00000000"])],
    ids=["stock firmware has neither", "a read of the UART never waits, SPI reads zeros"],
)
def test_nodes_with_nothing_wired_to_them(make_bench: MakeBench, nodes: tuple[str, ...], lines: list[str]) -> None:
    bench = make_bench(nodes=frozenset(nodes))
    app = bench.run(GLUE + LINES)
    bench.advance(1)
    assert bench.lines() == lines
    assert app.env.pins == ({10, 11, 12, 13} if nodes else set())
    assert app.stop()
    bench.run(GLUE + LINES, name="next")
    bench.advance(1)
    assert bench.lines("next") == lines, "the bus of a program that ended can be configured again"


def test_spi_refuses_what_the_driver_refuses(make_bench: MakeBench) -> None:
    spi = make_bench(nodes=frozenset({"spi"}))
    spi.run(
        GLUE
        + """static u8 big[600]; void on_init(void) { int f = open("/dev/spi/2", RW, 0); u32 n = 3;
        printf("%d %d ", open("/dev/spi/3", RW, 0), exchange(f, big, big, &n));
        printf("%d %d %d ", config(f, 0, 0, 10), config(f, 1, 1000000, 99), config(f, 1, 1000000, 10));
        printf("%d ", config(f, 1, 1000000, 10)); n = 513; printf("%d ", exchange(f, big, big, &n));
        n = 512; printf("%d ", exchange(f, big, big, &n)); n = 64;
        printf("%d %d ", exchange(f, (void *)0xffffff00, big, &n), write(f, big, 1));
        printf("%d %d\\n", close(f), close(open("/dev/spi/2", RW, 0))); }"""
    )
    spi.advance(10)
    assert spi.lines() == ["-1 -1 -1 -1 0 -1 -1 0 -1 -1 0 0"]
