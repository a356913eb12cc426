"""Code as tasks in the real sandbox: how they end, what is kept, what is refused, and what a host's end leaves."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs
from tests.agent.tasks.conftest import Place, Serve, ended, order

from microclaw.agent.tasks.rights import may_still_run
from microclaw.errors import NoSandbox, Overloaded, TaskRefused, ToolFailed, UnknownName
from microclaw.events import TaskChanged
from microclaw.host.auth.people import People
from microclaw.host.store.database import Database
from microclaw.host.store.tasks import TaskLanguage, TaskRow

SLOW = "import time\nprint('begun', end='', flush=True)\ntime.sleep(600)"


async def ran(place: Place, code: str, language: TaskLanguage = "python", **more: object) -> TaskRow:
    taken = await place.service.submit(order(code, language, **more))
    async with asyncio.timeout(60):
        return await ended(place.service, taken.number)


async def until_printed(place: Place, number: int) -> None:
    async with asyncio.timeout(60):
        while not (await place.service.view(number, wait_s=20)).output:
            pass


async def test_code_runs_and_its_output_files_and_events_are_kept(place: Place) -> None:
    code = "import os\nos.mkdir('out')\nos.write(1, bytes(range(256)))\ndata = open('हिन्दी.csv').read()\n"
    code += "open('out/x.txt', 'w').write(data.upper())"
    row = await ran(place, code, files={"हिन्दी.csv": b"a,b\n"}, keep=("out/x.txt", "missing.txt"))
    assert (row.state, row.ending, row.exit_code) == ("done", "ended", 0)
    assert row.output == bytes(range(256))
    assert [(one.name, one.size_bytes, one.media_type) for one in row.files] == [("out/x.txt", 4, "text/plain")]
    assert (await place.service.file(row.number, "out/x.txt")).read_bytes() == b"A,B\n"
    assert await place.table.get(row.number) == row
    states = [event.state for event in place.events if isinstance(event, TaskChanged)]
    assert states == ["queued", "running", "done"]
    assert sorted(path.name for path in (place.folder / str(row.number)).iterdir()) == ["files"]


async def test_each_language_runs(place: Place) -> None:
    languages: tuple[tuple[TaskLanguage, str, bytes], ...] = (
        ("shell", "echo 1 > a; cp -a a b && ls -la a b > c && wc -l < c", b"2\n"),  # extended attributes
        ("javascript", "console.log(6 * 7)", b"42\n"),
        ("python", "import json, sys; print(json.dumps(6 * 7), file=sys.stderr)", b"42\n"),
    )
    for language, code, printed in languages:
        row = await ran(place, code, language, files={"json/a.py": b"", "json.csv": b"1"})
        assert (row.state, row.output) == ("done", printed)


def given(*names: str) -> dict[str, object]:
    return {"files": dict.fromkeys(names, b"x")}


NO_NAMES = (
    "../x", "/etc/passwd", "a/../../x", "x\0y", "a\nb", ".hidden", "", "a//b", "a" * 300, "a/b/c/d/e", "main.py",
)  # fmt: skip
MODULES = ("json.py", "json/__init__.py", "math.cpython-311-x86_64-linux-gnu.so", "csv.pyc")


WRONG: list[dict[str, Any]] = [
    {"code": "x" * (300 << 10)}, {"code": "  \n"}, {"code": "print(1)\0"}, {"seconds": 61.0},
    {"seconds": 0.0}, {"memory_mb": 4096}, {"allow": "report"},
    given(*(f"f{n}" for n in range(33))), {"files": {"x": bytes(65 << 20)}},
    given("a", "a/b.txt"), given("a/b.txt", "a"), given("main.py/x"),
    *(given(name) for name in (*NO_NAMES, *MODULES)), *({"keep": (name,)} for name in NO_NAMES[:-1]),
]  # fmt: skip


async def test_an_order_that_breaks_a_rule_is_refused_with_words(place: Place) -> None:
    for count, wrong in enumerate(WRONG, 1):
        with pytest.raises(TaskRefused) as refused:
            await place.service.submit(structs.replace(order("print(1)"), **wrong))
        assert refused.value.next_step
        assert [event.kind for event in place.audit] == ["task.refused"] * count
    assert await place.service.table.newest(10) == ()
    row = await ran(place, "print(1)")
    for name in ("../x", "a/../../x", "x"):  # files that it did not leave
        with pytest.raises((TaskRefused, UnknownName)):
            await place.service.file(row.number, name)


async def test_nothing_runs_without_a_sandbox_or_room_on_the_disk(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(backend="off") as place:
        with pytest.raises(NoSandbox):
            await place.service.submit(order("print(1)"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    async with serve() as place:
        with pytest.raises(ToolFailed, match="disk"):
            await place.service.submit(order("print(1)"))
        assert await place.service.table.newest(10) == ()


async def test_a_task_is_cancelled_at_any_moment_of_its_start(place: Place) -> None:
    for turns in range(0, 40, 4):
        taken = await place.service.submit(order("print(1)"))
        for _ in range(turns):
            await asyncio.sleep(0)
        row = await asyncio.wait_for(place.service.cancel(taken.number), 60)
        assert row.state in ("cancelled", "done")
    assert place.service.counts()["running"] == 0


async def test_so_many_run_so_many_wait_and_the_rest_is_refused(serve: Serve) -> None:
    async with serve(parallel=2, queue=5) as place:
        taken = []
        refused = 0
        for number in range(1000):
            try:
                taken.append((await place.service.submit(order(SLOW, person_id=f"p-{number % 3}"))).number)
            except Overloaded:
                refused += 1
        counts = place.service.counts()
        assert (counts["running"], counts["waiting"]) == (2, 5)
        assert (len(taken), refused) == (7, 993)
        for number in reversed(taken):
            assert (await place.service.cancel(number)).state == "cancelled"
        assert {event.kind.value for event in place.audit} == {"task.refused", "task.started", "task.ended"}


async def test_one_asker_does_not_fill_the_queue(serve: Serve) -> None:
    async with serve(parallel=1, queue=8) as place:
        for code in (SLOW, *["pass"] * 4):
            await place.service.submit(order(code, person_id="device:loud"))
        with pytest.raises(Overloaded):
            await place.service.submit(order("pass", person_id="device:loud"))
        for name in "ab":
            await place.service.submit(order("pass", person_id=f"device:{name}"))
        with pytest.raises(Overloaded):
            await place.service.submit(order("pass", person_id="device:c"))
        for name in ("p-ada", "p-ada~guest"):
            await place.service.submit(order("pass", person_id=name))
        with pytest.raises(Overloaded):
            await place.service.submit(order("pass", person_id="p-bob"))
    async with serve(parallel=1, disk_mb=2) as place:
        for code in (SLOW, "pass"):
            await place.service.submit(order(code, files={"a": bytes(1 << 20)}))
        for who, is_taken in (("owner", False), ("p-ada", True), ("p-bob", False)):
            with nullcontext() if is_taken else pytest.raises(Overloaded):
                await place.service.submit(order("pass", person_id=who, files={"a": bytes(1 << 20)}))


async def test_the_end_of_the_host_interrupts_what_runs_and_waits(serve: Serve) -> None:
    """A kill: tests/stories/test_killed_hosts.py."""
    async with serve(parallel=1) as place:
        done = await ran(place, "open('x', 'w').write('1')", keep=("x",))
        numbers = [(await place.service.submit(order(SLOW))).number for _ in range(2)]
        await until_printed(place, numbers[0])
        (place.folder / "99").mkdir()  # of no task
    async with serve() as place:
        for number in numbers:
            row = await ended(place.service, number)
            assert (row.state, row.ending) == ("failed", "interrupted")
        assert [path.name for path in place.folder.iterdir()] == [str(done.number)]
        assert (await place.service.file(done.number, "x")).read_bytes() == b"1"


async def test_old_results_go_by_count_and_by_size(serve: Serve) -> None:
    async with serve(keep_count=2, keep_mb=1) as place:
        numbers = [(await ran(place, "print(1)")).number for _ in range(3)]
        assert [row.number for row in await place.service.table.newest(10)] == [numbers[2], numbers[1]]
        big = [(await ran(place, "open('x', 'wb').write(bytes(700_000))", keep=("x",))).number for _ in range(2)]
        assert [row.number for row in await place.service.table.newest(10)] == [big[1]]
        assert [path.name for path in place.folder.iterdir()] == [str(big[1])]


async def test_the_security_log_says_who_and_what_and_not_the_code(place: Place) -> None:
    row = await ran(place, "print('a very secret word')")
    start, end = (event for event in place.audit if event.kind in ("task.started", "task.ended"))
    assert (start.by, end.by) == ("Eva", "Eva")
    assert start.is_act
    assert end.is_act
    assert row.code_sha256[:16] in start.text
    assert "no network" in start.text
    assert "exit code 0" in end.text
    assert not any("secret" in event.text for event in place.audit)


async def test_every_byte_of_fast_output_is_seen_in_order_and_kept(place: Place) -> None:
    taken = await place.service.submit(order("for n in range(6000): print(f'{n:04}', 'x' * 60)"))
    whole = "".join(f"{n:04} {'x' * 60}\n" for n in range(6000)).encode()
    for _ in range(2):  # while it runs, and from what is kept
        seen = b""
        is_open = True
        more = True
        async with asyncio.timeout(60):
            while is_open or more:
                view = await place.service.view(taken.number, after=len(seen), wait_s=20)
                assert view.output_begins == len(seen)
                seen = seen + view.output.encode()
                is_open = view.is_open
                more = view.output_more
        assert seen == whole
        row = await ended(place.service, taken.number)
    assert (row.output_bytes, row.kept_bytes) == (len(whole), len(whole))
    assert row.output == whole[-len(row.output) :]
    (place.folder / str(row.number) / "output").unlink()
    view = await place.service.view(row.number)
    assert (view.output_begins, view.output) == (len(whole) - len(row.output), row.output.decode())


async def test_who_may_no_longer_run_code_loses_what_runs_and_waits(serve: Serve, tmp_path: Path) -> None:
    async with Database.open(tmp_path / "people.db") as database:
        people = await People.open(database)
        ada = await people.add("ada", "member")
        bob = await people.add("bob", "member")
        async with serve(parallel=1, roles=people) as place:
            people.listen(place.service.cancel_forbidden)
            orders = [structs.replace(order(SLOW), person_id=one.person_id) for one in (ada, bob, ada)]
            running, of_bob, waiting = [(await place.service.submit(one)).number for one in orders]
            await until_printed(place, running)
            await people.change_role("ada", "guest")
            states = {row.number: row.state for row in await place.service.table.newest(10)}
            assert (states[running], states[waiting]) == ("cancelled", "cancelled")
            await until_printed(place, of_bob)
            await people.remove("bob")
            assert (await place.service.view(of_bob)).state == "cancelled"
            late = await place.service.submit(orders[0])  # it was let through just before
            assert (await ended(place.service, late.number)).state == "cancelled"
            assert may_still_run(people, "device:d-1")
