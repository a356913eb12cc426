"""The virtual clock's promises: jumps, order, turns, pauses and stuck tasks; and what the real one shares with it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from microclaw.virtual.clock import Clock, Interrupted, RealClock, Task
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


def test_alarms_run_in_order_of_time_then_of_setting() -> None:
    clock = VirtualClock()
    seen: list[tuple[str, float]] = []
    for name, t_ms in (("c", 30), ("a", 10), ("b1", 20), ("b2", 20)):
        clock.call_at(t_ms, lambda name=name: seen.append((name, clock.now_ms())))  # type: ignore[misc]
    clock.advance(25)
    assert seen == [("a", 10), ("b1", 20), ("b2", 20)]
    assert clock.now_ms() == 25


def test_cancelled_alarms_neither_pile_up_nor_keep_the_board_busy() -> None:
    clock = VirtualClock()
    for n in range(10_000):
        clock.call_at(1e9 + n, lambda: None).cancel()
    assert clock.advance(1).idle
    seen: list[int] = []
    clock.call_at(5, lambda: seen.append(5))
    for n in range(5_000):
        clock.call_at(10 + n, lambda: None).cancel()
    clock.advance(10)
    assert seen == [5]


def test_an_alarm_may_set_the_next_one() -> None:
    clock = VirtualClock()
    seen: list[float] = []

    def tick() -> None:
        seen.append(clock.now_ms())
        clock.call_at(clock.now_ms() + 10, tick)

    clock.call_at(10, tick)
    assert not clock.advance(35).idle
    assert seen == [10, 20, 30]


def test_sleeping_tasks_wake_at_their_time_one_after_the_other() -> None:
    clock = VirtualClock()
    seen: list[tuple[str, float]] = []

    def body(task: Task) -> None:
        for _ in range(3):
            clock.sleep(task, 10 if task.name == "fast" else 15)
            seen.append((task.name, clock.now_ms()))

    workers = [Worker(clock, "fast", body), Worker(clock, "slow", body)]
    assert clock.advance(100).idle
    for worker in workers:
        worker.join()
    assert seen == [("fast", 10), ("slow", 15), ("fast", 20), ("slow", 30), ("fast", 30), ("slow", 45)]


def test_only_one_task_runs_at_a_time() -> None:
    clock = VirtualClock()
    inside = 0
    most = 0

    def body(task: Task) -> None:
        nonlocal inside, most
        for _ in range(20):
            inside += 1
            most = max(most, inside)
            clock.read_ms(task)
            inside -= 1
            clock.sleep(task, 1)

    workers = [Worker(clock, str(n), body) for n in range(4)]
    clock.advance(1000)
    for worker in workers:
        worker.join()
    assert most == 1


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


def test_short_sleeps_last_as_long_as_asked_and_others_are_not_late() -> None:
    clock = VirtualClock()
    alarms: list[float] = []
    clock.call_at(3.03, lambda: alarms.append(clock.now_ms()))

    def body(task: Task) -> None:
        for _ in range(1_000):
            clock.sleep(task, 0.05)
        woken.append(clock.now_ms())

    woken: list[float] = []
    worker = Worker(clock, "pulses", body)
    assert clock.advance(20).now_ms == 20
    assert (woken, alarms) == ([], [3.03])
    clock.advance(100)
    worker.join()
    assert woken == [pytest.approx(50)]


def test_sleeping_for_no_time_does_not_stop_board_time() -> None:
    clock = VirtualClock()

    def body(task: Task) -> None:
        while True:
            clock.sleep(task, 0)

    worker = Worker(clock, "yielder", body)
    assert clock.advance(2_000).now_ms >= 2_000
    clock.interrupt(worker.task)
    worker.join()


def test_a_task_that_never_gives_up_the_cpu_is_named_stuck() -> None:
    clock = VirtualClock(stuck_cpu_s=0.1)
    stop = threading.Event()

    def body(task: Task) -> None:
        while not stop.is_set():
            pass

    worker = Worker(clock, "spinner", body)
    assert clock.advance(1000).stuck == "spinner"
    assert clock.now_ms() == 0
    stop.set()
    worker.join()
    assert clock.advance(1000).stuck is None


def test_restart_forgets_alarms_and_time() -> None:
    clock = VirtualClock()
    seen: list[int] = []
    clock.advance(10)
    clock.call_at(20, lambda: seen.append(1))
    clock.restart()
    assert clock.now_ms() == 0
    clock.advance(100)
    assert seen == []


def test_real_clock_runs_alarms_and_sleeps() -> None:
    clock = RealClock()
    seen: list[str] = []
    done = threading.Event()

    def body(task: Task) -> None:
        clock.sleep(task, 20)
        seen.append("slept")
        clock.idle(task)
        seen.append("woken")

    worker = Worker(clock, "w", body)
    clock.call_at(40, lambda: seen.append("late"))
    clock.call_at(5, lambda: seen.append("early"))
    clock.call_at(60, done.set)
    assert done.wait(TIMEOUT_S)
    clock.wake(worker.task)
    worker.join()
    alarms = [one for one in seen if one in ("early", "late")]
    assert alarms == ["early", "late"]
    assert [one for one in seen if one not in alarms] == ["slept", "woken"]
    assert seen[-1] == "woken"
    clock.close()


def test_real_clock_sleep_is_interruptible_and_keeps_wake_ups() -> None:
    clock = RealClock()
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


def test_real_clock_calls_each_alarm_once_and_never_early_whoever_is_idle() -> None:
    clock = RealClock()
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
