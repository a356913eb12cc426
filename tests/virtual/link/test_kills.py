"""kill -9 of the board at any moment: nothing acknowledged is lost, no effect is repeated silently.

MICROCLAW_KILLS says how often (`make kills`: 200).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.virtual.link.conftest import ScriptedHost

from microclaw.virtual.link_client.flash import MAX_MESSAGES, Flash, FlashOutbox
from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import AnyBody, Call, Event, Notify

KILLS = int(os.environ.get("MICROCLAW_KILLS", "12"))
PROGRAM = Path(__file__).with_name("counting_board.py")


class Board:
    def __init__(self, folder: Path, host: ScriptedHost) -> None:
        command = [sys.executable, str(PROGRAM), str(folder), host.options[1], host.options[3]]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


def ticks_in(bodies: Iterable[AnyBody]) -> list[int]:
    return [int(str(body.data["n"])) for body in bodies if isinstance(body, Event)]


def ticks_of(host: ScriptedHost) -> list[int]:
    return ticks_in(e.body for e in host.mail.applied)


def test_kills_at_any_moment_lose_nothing_and_repeat_nothing(host: ScriptedHost, tmp_path: Path) -> None:
    rng = random.Random(20)
    once: dict[bytes, int] = {}
    repeatable: dict[bytes, int] = {}
    notified: list[str] = []
    pause = threading.Event()
    for number in range(KILLS):
        board = Board(tmp_path, host)
        try:
            for part in range(4):
                n = number * 4 + part
                once[host.send(Call("count.add", {"n": n}, idempotent=False), durable=True)] = n
                repeatable[host.send(Call("count.add", {"n": 10_000 + n}, idempotent=True), durable=True)] = 10_000 + n
                notified.append(f"notify {n}")
                host.send(Notify(notified[-1], speak=False), durable=True)
            pause.wait(rng.uniform(0, 0.2))
        finally:
            board.kill()
    board = Board(tmp_path, host)
    try:
        host.wait(lambda: all(host.results_of(i) for i in (*once, *repeatable)) and not host.mail.rows)
        last = int((tmp_path / "kept").read_text().split()[-1])
        host.wait(lambda: last in ticks_of(host))
    finally:
        board.kill()

    added = Counter(map(int, (tmp_path / "added").read_text().split()))
    for message_id, n in once.items():
        (result,) = host.results_of(message_id)
        if result.ok:
            assert added[n] == 1, f"call {n} was answered ok and had its effect {added[n]} times"
        else:
            assert result.error is not None
            assert result.error.code == "outcome_unknown"
            assert added[n] <= 1, f"call {n} was repeated silently"
    for message_id, n in repeatable.items():
        (result,) = host.results_of(message_id)
        assert result.ok
        assert added[n] >= 1

    flash = Flash(tmp_path / "link")
    assert flash.get("notified") == len(notified)
    assert flash.get("notifications") == notified[-16:]
    assert flash.under("call/") == {}
    # The last kill may come between `keep` and the sending: then the event is in the outbox still.
    waiting = [decode(row.payload).body for row in FlashOutbox(flash).unacked_after(0, MAX_MESSAGES)]
    flash.close()

    ticks = ticks_of(host)
    assert ticks == sorted(ticks), "events came out of order"
    kept = [int(n) for n in (tmp_path / "kept").read_text().split()]
    assert set(kept) <= {*ticks, *ticks_in(waiting)}, "an event that was kept was lost"
    assert len({e.id for e in host.mail.applied}) == len(host.mail.applied)
