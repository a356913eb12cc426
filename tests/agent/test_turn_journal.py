"""A turn is read back from its journal, also from one that an older version wrote; a result is kept once."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.agent.turn_journal import ReadRow, ReplyRow, TurnJournal, answer_from, encode, result_from
from microclaw.apps.change_log import ChangeLog, SetLevel, made_by
from microclaw.auth.gate import Effect
from microclaw.errors import StoreError
from microclaw.events import Action, Answer, Edge, Evidence, Inbound, Usage
from microclaw.models.protocol import ModelReply, ToolCall
from microclaw.operations.tool import Begin, ToolResult
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import EffectKey, Journal

EDGES = (Evidence("counted", "2 edges", (Edge(1.5, 2, 1), Edge(3, 2, 0))),)


def test_an_answer_comes_back_as_it_was_even_with_broken_unicode() -> None:
    answer = Answer(
        "it\ud800 blinks",
        (Action("undo", "{}", "once", "unknown", (), "the host stopped"),),
        EDGES,
        Usage(3, 4, None, 1),
        "failed",
        "look",
        tainted_s=7,
    )
    assert answer_from(encode(answer)) == answer
    assert '"foreign_s":7' in encode(answer)  # the key of what is stored
    result = ToolResult('{"success":true}', ok=True, evidence=EDGES, foreign=True)
    assert result_from(encode(result)) == result


async def test_what_a_turn_noted_is_read_back_in_order_with_the_results_of_its_calls(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "m.db") as database:
        journal, inbox = Journal(database, lambda: 1), InboxTable(database, lambda: 1)
        await inbox.add(Inbound("test", "c1", "first"))
        reply = ModelReply("", (ToolCall("1", "gpio-get", "{}"), ToolCall("2", "undo", "{}")), literal=True)
        looked = ToolResult('{"level":1}', ok=True, foreign=True)
        turn = TurnJournal(journal, "m1", 1)
        turn.add(ReplyRow(reply))
        turn.add(ReadRow(0, looked))
        await turn.flush()
        again = TurnJournal(journal, "m1", 1)
        assert await again.read_back() == (reply,)
        assert again.known(EffectKey("m1", 0, 0)) == looked
        assert again.known(EffectKey("m1", 0, 1)) is None


async def test_what_follows_by_rule_is_written_with_its_change_and_ends_with_the_answer(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "m.db") as database:
        journal, log = Journal(database, lambda: 1), ChangeLog(database)
        await InboxTable(database, lambda: 1).add(Inbound("test", "c1", "set pin 5 on"))
        asked = ToolCall("1", "gpio-set", "{}")
        turn = TurnJournal(journal, "m1", 1)
        turn.add(ReplyRow(ModelReply("", (asked,), literal=True)))

        async def run(begin: Begin) -> ToolResult:
            await begin()
            assert (await journal.unfinished(), await journal.rows(1)) == ((), ())
            with made_by("m1", ahead=turn.carried):
                with pytest.raises(StoreError):  # what was to go with it waits on
                    await log.plan("d-1", "gpio.set", "no such change", SetLevel(5, 1), None, undoes=99)
                await log.plan("d-1", "gpio.set", "set pin 5", SetLevel(5, 1), None)
            assert [effect.state for effect in await journal.unfinished()] == ["started"]
            assert len(await journal.rows(1)) == 1
            return ToolResult("{}", ok=True)

        await turn.call(EffectKey("m1", 0, 0), asked, Effect.IDEMPOTENT, run)
        await turn.before_asking()
        assert len(await journal.unfinished()) == 1
        with turn.carried() as work:
            await database.write(work)
        assert [effect.state for effect in await journal.of_turn("m1")] == ["done"]
