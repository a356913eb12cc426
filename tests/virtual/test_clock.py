"""The virtual clock's promises: jumps, order, turns, pauses and stuck tasks; and what the real one shares with it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from microclaw.virtual.clock import Clock, Interrupted, Task
from microclaw.virtual.virtual_clock import BUSY_READ_COST_MS, CHEAP_READS, VirtualClock

TIMEOUT_S = 60.0


class Worker:
    """A task with its thread; what it raises is kept."""

    def __init__(self, clock: Clock, name: str, body: Callable[[Task], None]) -> None:
        self.task = Task(name)
        self.raised: BaseException | None = None
        self._clock = clock
        self._body = body
        self.thread = threading.Thread(target=self._run, daemon=True)
        clock.add(self.task)
        self.thread.start()

    def join(self) -> None:
        self.thread.join(TIMEOUT_S)
        assert not self.thread.is_alive()

    def _run(self) -> None:
        self._clock.begin(self.task)
        try:
            self._body(self.task)
        except Interrupted as exc:
            self.raised = exc
        finally:
            self._clock.end(self.task)


def test_alarms_and_sleeping_tasks_take_turns_in_order_of_time() -> None:
    clock = VirtualClock()
    seen: list[tuple[str, float]] = []

    def tick() -> None:
        seen.append(("tick", clock.now_ms()))
        clock.call_at(clock.now_ms() + 12, tick)

    def sleeps(task: Task) -> None:
        for _ in range(2):
            clock.sleep(task, 9)
            seen.append((task.name, clock.now_ms()))

    for name, t_ms in (("c", 30), ("a", 10), ("b1", 20), ("b2", 20)):
        clock.call_at(t_ms, lambda name=name: seen.append((name, clock.now_ms())))  # type: ignore[misc]
    clock.call_at(12, tick)
    worker = Worker(clock, "sleeper", sleeps)
    assert not clock.advance(25).idle
    worker.join()
    order = [("sleeper", 9), ("a", 10), ("tick", 12), ("sleeper", 18), ("b1", 20), ("b2", 20), ("tick", 24)]
    assert (seen, clock.now_ms()) == (order, 25)


def test_cancelled_alarms_neither_pile_up_nor_keep_the_board_busy() -> None:
    clock = VirtualClock()
    for n in range(10_000):
        clock.call_at(1e9 + n, lambda: None).cancel()
    assert clock.advance(1).idle


def test_wake_up_between_work_and_idle_is_not_lost() -> None:
    clock = VirtualClock()
    rounds: list[int] = []

    def body(task: Task) -> None:
        clock.wake(task)
        clock.idle(task)
        rounds.append(1)
        clock.idle(task)
        rounds.append(2)

    worker = Worker(clock, "w", body)
    clock.settle()
    assert rounds == [1]
    clock.wake(worker.task)
    worker.join()
    assert rounds == [1, 2]


def test_what_an_alarm_wakes_goes_on_after_the_alarm_has_set_the_next() -> None:
    clock = VirtualClock()
    ended_ms: list[float] = []

    def begin_pulse(worker: Worker) -> None:
        clock.wake(worker.task)
        os.sched_yield()  # another thread that may run does so now
        clock.call_at(clock.now_ms() + 1, lambda: clock.wake(worker.task))

    def body(task: Task) -> None:
        for _ in range(100):
            clock.idle(task)
            alarm = clock.call_at(clock.now_ms() + 5, lambda: clock.wake(task), is_timer=True)
            clock.idle(task)
            alarm.cancel()
            ended_ms.append(clock.now_ms() % 10)

    worker = Worker(clock, "measures", body)
    for round_ in range(100):
        clock.call_at(10 * round_, lambda: begin_pulse(worker))
    clock.advance(1_000)
    worker.join()
    assert ended_ms == [1] * 100


@pytest.mark.parametrize("wait", ["idle", "sleep", "read"])
def test_interrupt_ends_every_wait(wait: str) -> None:
    clock = VirtualClock()
    ended: list[bool] = []

    def body(task: Task) -> None:
        if wait == "idle":
            clock.idle(task)
        elif wait == "sleep":
            clock.sleep(task, 1e9)
        else:
            while True:
                clock.read_ms(task)
        ended.append(task.interrupted)

    worker = Worker(clock, "w", body)
    clock.settle()
    clock.interrupt(worker.task)
    worker.join()
    assert ended == [True] if wait == "idle" else isinstance(worker.raised, Interrupted)


def test_an_advance_ends_once_its_cpu_time_is_used() -> None:
    clock = VirtualClock()

    def body(task: Task) -> None:
        while True:
            clock.sleep(task, 5.0)

    worker = Worker(clock, "w", body)
    cut = clock.advance(1e9, 0.05)
    assert cut.cpu_s >= 0.05
    assert (cut.stuck, cut.now_ms < 1e9) == (None, True)
    assert clock.advance(1_000).now_ms == cut.now_ms + 1_000
    clock.interrupt(worker.task)
    worker.join()


def test_busy_reading_pauses_at_the_end_of_the_granted_time() -> None:
    clock = VirtualClock()

    def body(task: Task) -> None:
        while clock.read_ms(task) < 1000:
            pass

    worker = Worker(clock, "busy", body)
    clock.settle()
    assert clock.now_ms() < 10
    advanced = clock.advance(500)
    assert 500 <= advanced.now_ms <= 510 + CHEAP_READS * BUSY_READ_COST_MS / 100
    assert (advanced.idle, advanced.stuck) == (False, None)
    clock.advance(600)
    worker.join()


def test_sleeping_for_no_time_does_not_stop_board_time() -> None:
    clock = VirtualClock()

    def body(task: Task) -> None:
        while True:
            clock.sleep(task, 0)

    worker = Worker(clock, "yielder", body)
    assert clock.advance(2_000).now_ms >= 2_000
    clock.interrupt(worker.task)
    worker.join()


def test_real_clock_sleep_is_interruptible_and_keeps_wake_ups() -> None:
    clock = Clock()
    started = threading.Event()

    def body(task: Task) -> None:
        started.set()
        clock.sleep(task, 1)
        clock.idle(task)  # returns: it was woken while it slept or before
        clock.sleep(task, 1e9)

    worker = Worker(clock, "w", body)
    clock.wake(worker.task)
    assert started.wait(TIMEOUT_S)
    clock.interrupt(worker.task)
    worker.join()
    assert isinstance(worker.raised, Interrupted)
    clock.close()


def test_real_clock_calls_each_alarm_once_and_never_early() -> None:
    clock = Clock()
    called: list[float] = []
    done = threading.Event()
    workers = [Worker(clock, f"w{n}", clock.idle) for n in range(3)]
    for t_ms in range(5, 55):
        clock.call_at(t_ms, lambda t_ms=t_ms: called.append(clock.now_ms() - t_ms))  # type: ignore[misc]
    clock.call_at(60, done.set)
    assert done.wait(TIMEOUT_S)
    for worker in workers:
        clock.wake(worker.task)
        worker.join()
    clock.close()
    assert len(called) == 50
    assert min(called) >= 0


@pytest.mark.parametrize("way", ["compute", "read", "sleep", "spend"])
def test_an_alarm_rings_before_time_passes_it_also_for_a_task_that_must_go_on(way: str) -> None:
    clock = VirtualClock()
    rang: list[float] = []
    ended: list[float] = []

    def body(task: Task) -> None:
        clock.idle(task)
        clock.ask(task)
        while clock.now_ms() < 12:
            if way == "compute":
                clock.compute(5)
            elif way == "read":
                clock.read_ms(task)
            elif way == "sleep":
                clock.sleep(task, 0.02)
            else:
                clock.spend(task, 0.3)
        ended.append(clock.now_ms())

    worker = Worker(clock, "asked", body)
    clock.settle()
    for t_ms in (8.0, 9.005):
        clock.call_at(t_ms, lambda: rang.append(clock.now_ms()))
    clock.wake(worker.task)
    worker.join()
    assert rang == [8.0, 9.005]
    assert ended[0] >= 12


def test_a_task_whose_sleep_is_over_gets_its_turn_when_another_has_computed() -> None:
    clock = VirtualClock()
    woken: list[float] = []

    def computes(task: Task) -> None:
        clock.sleep(task, 1)
        clock.compute(50)
        while not woken:
            clock.read_ms(task)

    def sleeps(task: Task) -> None:
        clock.sleep(task, 10)
        woken.append(clock.now_ms())

    workers = [Worker(clock, "computes", computes), Worker(clock, "sleeps", sleeps)]
    clock.advance(100)
    for worker in workers:
        worker.join()
    assert woken == [pytest.approx(51, abs=0.02)]


def test_a_bus_takes_its_time_while_others_run() -> None:
    clock = VirtualClock()
    seen: list[tuple[str, float]] = []

    def sends(task: Task) -> None:
        clock.spend(task, 20)
        seen.append(("sent", clock.now_ms()))

    def ticks(task: Task) -> None:
        clock.sleep(task, 12)
        seen.append(("tick", clock.now_ms()))

    workers = [Worker(clock, "sends", sends), Worker(clock, "ticks", ticks)]
    clock.advance(30)
    for worker in workers:
        worker.join()
    assert seen == [("tick", 12), ("sent", 20)]


def test_many_transfers_that_are_shorter_than_a_reading_take_their_own_time() -> None:
    clock = VirtualClock()
    sent: list[float] = []

    def sends(task: Task) -> None:
        for _ in range(1_000):
            clock.spend(task, 0.001)
        sent.append(clock.now_ms())

    worker = Worker(clock, "sends", sends)
    clock.advance(100)
    worker.join()
    assert sent == [pytest.approx(1.0)]


def test_the_real_clock_sleeps_for_many_short_transfers_at_once() -> None:
    slept: list[float] = []

    class OnTime(Clock):
        def now_ms(self) -> float:
            return sum(slept)

        def sleep(self, task: Task, ms: float) -> None:
            slept.append(ms)

    clock = OnTime()
    task = Task("t")
    for _ in range(10):
        clock.spend(task, 0.25)
    assert slept == [1.0, 1.0]
