"""Timers, sleeping and clocks, on a virtual clock."""

from __future__ import annotations

import pytest
from tests.virtual.natives.conftest import CBench, MakeBench

CLOCKS = """
int clock_gettime(int, void *); i64 clock(void); i64 time(i64 *); void *localtime_r(const i64 *, void *);
"""


def test_one_shot_timer_fires_once_and_can_be_restarted(bench: CBench) -> None:
    bench.run(
        """static int n, t; void on_init(void) { t = wasm_create_timer(50, 0, 1); }
        void on_timer_callback(int id) { printf("%u\\n", wasm_get_sys_tick_ms());
        if (++n < 3) wasm_timer_restart(t, n * 100); }"""
    )
    bench.clock.advance(10_000)
    assert bench.lines() == ["50", "150", "350"]


RESTARTER = """static int t; void on_init(void) { t = wasm_create_timer(20, 0, 1); }
void on_timer_callback(int id) { wasm_timer_restart(t, 20); }"""


def test_stock_firmware_loses_a_restart_from_the_own_callback_sooner_or_later(make_bench: MakeBench) -> None:
    """The same name loses the same one."""
    counts = []
    for name in ("a", "a", "b"):
        bench = make_bench()
        bench.run(RESTARTER.replace("{ wasm", '{ printf("x\\n"); wasm'), name=name)
        assert bench.clock.advance(600_000).idle
        counts.append(len(bench.lines(name)))
    assert counts[0] == counts[1] != counts[2]
    assert max(counts) < 2_000


def test_sleep_takes_board_time_only(bench: CBench) -> None:
    bench.run('void on_init(void) { printf("a\\n"); sleep(3600); printf("b\\n"); usleep(1500); printf("c\\n"); }')
    bench.clock.advance(4_000_000)
    assert [(r.t_ms, r.text) for r in bench.board.log().records if r.app] == [
        (0, "a"),
        (3_600_000, "b"),
        (3_600_001.5, "c"),
    ]


def test_timers_of_others_fire_on_time_during_a_busy_wait(bench: CBench) -> None:
    ticker = (
        """void on_init(void) { wasm_create_timer(100, 1, 1); } void on_timer_callback(int id) { printf("t\\n"); }"""
    )
    bench.run(ticker, name="ticker")
    bench.run("void on_init(void) { while (wasm_get_sys_tick_ms() < 1000); }", name="waiter")
    bench.clock.advance(500)
    times = [r.t_ms for r in bench.board.log().records if r.text == "t"]
    assert times == pytest.approx([100, 200, 300, 400, 500], abs=2)


def test_clocks_agree_on_board_time(bench: CBench) -> None:
    bench.run(
        CLOCKS
        + """void on_init(void) { sleep(90061); struct { i64 s; int ns; } t; int tm[16]; i64 now;
        clock_gettime(1, &t); time(&now);
        printf("%lld %d %lld %d", t.s, t.ns < 1000000, now, clock_gettime(9, &t));
        printf(" %d", (int)(clock() / 1000000000));
        localtime_r(&now, tm); printf(" %d-%d-%d %d:%d:%d\\n", tm[5], tm[4], tm[3], tm[2], tm[1], tm[0]); }"""
    )
    bench.clock.advance(90_062_000)
    assert bench.lines() == ["90061 1 90061 -1 90061 70-0-2 1:1:1"]
