"""A program's claim of memory: refused when the board has no room for it, enforced while it runs, no false alarms."""

from __future__ import annotations

from tests.firmware.runner.conftest import MicroPython

IDLE = "async def main(E):\n    await E.sleep(100)\n"
HOLDER = """async def main(E):
    kept = []
    while True:
        await E.y()
        try:
            kept.append(bytearray(100))
            await E.sleep_ms(1)
        except MemoryError:
            await E.sleep_ms(1)
"""


def test_a_program_that_holds_more_than_its_claim_is_ended_though_it_catches_what_it_gets(
    micropython: MicroPython,
) -> None:
    """The board itself has enough: `memory_floor` is 0."""
    micropython.compile("bad", HOLDER)
    micropython.compile("calm", IDLE)
    events, row, calm = micropython.act("""
        await install(runner, "calm")
        await install(runner, "bad")
        await until(lambda: row(runner, "bad")["state"] == "trapped")
        return [events(), row(runner, "bad"), row(runner, "calm")["state"]]
    """)
    assert {event["data"]["app"] for event in events} == {"bad"}
    assert "claims 8192" in row["error"]
    assert (row["state"], calm) == ("trapped", "running")


HARMLESS = {
    "waste": "def waste():\n        for _ in range(3000):\n            bytearray(100)\n"
    "    while True:\n        await E.y()\n        waste()\n        await E.sleep_ms(5)",
    "big": "kept = []\n    while True:\n        await E.y()\n        if len(kept) < 150:\n"
    "            kept.append(bytearray(100))\n        await E.sleep_ms(2)",
}


def test_rubbish_and_what_others_take_are_no_reason_to_end_it(micropython: MicroPython) -> None:
    """Beside it the firmware takes 18 KB, and another program holds all of its larger claim."""
    for name, body in HARMLESS.items():
        micropython.compile(name, f"async def main(E):\n    {body}\n")
    found = micropython.act(
        """
        await install(runner, "waste")
        await install(runner, "big", heap=20_000)
        ours = []
        for _ in range(120):
            ours.append(bytearray(150))
            await asyncio.sleep_ms(20)
        return [[[r["state"], r.get("error")] for r in runner.list()], events()]
    """,
        heap=40_000,
    )
    assert found == [[["running", None], ["running", None]], []]


def test_a_program_may_hold_more_than_it_claimed_while_the_board_has_room(micropython: MicroPython) -> None:
    micropython.compile("big", "async def main(E):\n    kept = bytearray(30_000)\n    await E.sleep(100)\n")
    before, reason = micropython.act(
        """
        await install(runner, "big", heap=4_096)
        for _ in range(40):
            await asyncio.sleep_ms(50)
        before = row(runner, "big")["state"], events()
        runner.board.reserve = 1 << 30
        await until(lambda: events("app.crash"))
        return [before, events("app.crash")[0]["data"]["reason"]]
    """,
        reserve=8_192,
    )
    assert before == ["running", []]
    assert "and claims 4096" in reason


def test_programs_and_claims_beyond_what_the_board_has_are_refused(micropython: MicroPython) -> None:
    micropython.compile("idle", IDLE)
    words = "".join(f"    E.print('words that take room, number {n}')\n" for n in range(400))
    micropython.compile("big", "async def main(E):\n" + words)
    codes, rows, many, ended = micropython.act(
        """
        await install(runner, "a", "idle", heap=20_480)
        codes = []
        for name, heap in (("b", 20_480), ("a", 40_960)):
            codes.append(await refused_async(install(runner, name, "idle", heap=heap)))
        await install(runner, "a", "idle", heap=12_288)
        await install(runner, "b", "idle", heap=20_480)
        await runner.stop("a")
        await install(runner, "c", "idle", heap=12_288)
        codes.append(await refused_async(runner.start("a")))
        rows = [[r["name"], r["state"]] for r in runner.list()]
        runner.board.max_programs = 2
        many = await refused_async(install(runner, "d", "idle", heap=0))
        await install(runner, "b", "idle", heap=0)
        await runner.remove("b")
        codes.append(await refused_async(install(runner, "b", "big", heap=2048)))
        await runner.remove("c")
        await install(runner, "b", "big", heap=32_768)
        await until(lambda: events())
        return [codes, rows, many, [e["name"] for e in events()]]
    """,
        heap=32_768,
    )
    assert codes == ["too_large"] * 4
    assert rows == [["a", "stopped"], ["b", "running"], ["c", "running"]]
    assert (many, ended) == ("too_many_apps", ["app.exit"])
