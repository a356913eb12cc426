"""A turn is read back from its journal, also from one that an older version wrote; a result is kept once."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from tests.agent.conftest import MakeAgent

from microclaw.agent.attempts import latest_attempts
from microclaw.agent.turn_journal import JoinRow, ReadRow, ReplyRow, TurnJournal, answer_from, encode, result_from
from microclaw.events import Action, Answer, Edge, Evidence, Usage
from microclaw.models.protocol import AssistantReply, ModelReply, ToolCall, ToolReturn, UserText
from microclaw.models.scripted import say
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable, NewMessage
from microclaw.store.journal import EffectKey, Journal
from microclaw.store.migrations import MIGRATIONS
from microclaw.tools.tool import ToolResult

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
        for text in ("first", "joins"):
            await inbox.add(NewMessage("test", "c1", None, "owner", None, text, "person"))
        reply = ModelReply("", (ToolCall("1", "gpio-get", "{}"), ToolCall("2", "undo", "{}")), literal=True)
        looked = ToolResult('{"level":1}', ok=True, foreign=True)
        turn = TurnJournal(journal, "m1", 1)
        turn.add(ReplyRow(reply))
        turn.add(ReadRow(0, looked))
        turn.add(JoinRow(2))
        await turn.flush()
        again = TurnJournal(journal, "m1", 1)
        assert await again.read_back() == (ReplyRow(reply), JoinRow(2))
        assert again.known(EffectKey("m1", 0, 0)) == looked
        assert again.known(EffectKey("m1", 0, 1)) is None


OLD = (
    """INSERT INTO inbox (channel, chat_id, key, principal, device, text, origin, received_ms, starts, state)
    VALUES ('test', 'c1', 'k1', 'owner', NULL, 'pin 4 on', 'person', 1700000000000, 1, 'waiting')""",
    """INSERT INTO inbox (channel, chat_id, key, principal, device, text, origin, received_ms, starts, state, joined)
    VALUES ('test', 'c1', NULL, 'owner', NULL, 'and 5', 'person', 1700000000000, 0, 'joined', 1)""",
    """INSERT INTO turn_rows VALUES (1, 0, '{"kind":"reply","text":"","calls":[["call-1","gpio-set","{\\"pin\\": 4}"],'
    || '["call-2","gpio-get","{\\"pin\\": 4}"]],"usage":[10,5,null,2],"origin":null}')""",
    """INSERT INTO turn_rows VALUES (1, 1, '{"kind":"returns","results":[{"content":"{}","ok":true,"evidence":[],'
    || '"error":null,"next":null,"foreign":false}]}')""",
    """INSERT INTO turn_rows VALUES (1, 2, '{"kind":"joined","message_id":2,"text":"and 5"}')""",
    """INSERT INTO effects VALUES ('m1', 0, 0, 'gpio-set', '{"pin": 4}', 'idempotent', 'done',
    '{"success":true,"evidence":[{"kind":"counted","text":"pin 4 is at 1"}]}', 1, 2, 3)""",
    """INSERT INTO effects VALUES ('m0', 0, 0, 'deploy-wasm-app', '{"sourceCode": "BAD", "appName": "a"}', 'idempotent',
    'dropped', '{"success":false,"error":"build_error","message":"no BAD","diagnostics":["1: no BAD"]}', 1, 2, 3)""",
    """INSERT INTO outbox (channel, chat_id, kind, person, message_id, key, body, created_ms) VALUES
    ('test', 'c2', 'answer', 'owner', 99, NULL, '{"text":"it blinks","actions":[["undo","{}","once",true]],'
    || '"evidence":[["counted","2 edges",[[1.5,2,1],[3,2,0]]]],"usage":[3,4,null,1],"error":null,"next":"look",'
    || '"foreign":7}', 1)""",
    """INSERT INTO outbox (channel, chat_id, kind, person, body, created_ms) VALUES ('test', 'c2', 'push', 'owner',
    '{"text":"a push","actions":[],"evidence":[],"usage":[0,0,0.0,0],"error":null,"next":null,"foreign":null}', 1)""",
)


async def test_a_turn_that_an_older_version_left_open_goes_on_and_what_it_left_to_send_is_sent(
    tmp_path: Path, make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store" / "microclaw.db"
    before = next(n for n, steps in enumerate(MIGRATIONS) if any("'$.kind') = 'returns'" in step for step in steps))
    with monkeypatch.context() as patch:
        patch.setattr("microclaw.store.sqlite_file.MIGRATIONS", MIGRATIONS[:before])
        async with Database.open(path):
            pass
    with sqlite3.connect(path) as connection:
        for statement in OLD:
            connection.execute(statement)
    connection.close()
    session = tmp_path / "sessions" / "test_c1.jsonl"
    session.parent.mkdir()
    session.write_text(
        '{"role":"user","content":"pin 4 on","ts":1700000000}\n{"role":"user","content":"and 5","ts":1700000000}\n'
    )
    async with make_agent([say("pin 4 is on")]) as agent, asyncio.timeout(60):
        [attempt] = await latest_attempts(agent.journal, 10)
        assert (attempt.error, attempt.message, attempt.diagnostics) == ("build_error", "no BAD", ("1: no BAD",))
        answer, push = await agent.outbox.undelivered("test", "c2")
        assert answer.answer == Answer(
            "it blinks",
            (Action("undo", "{}", "once", "done"),),
            EDGES,
            Usage(3, 4, None, 1),
            next_step="look",
            outbound_id=1,
            tainted_s=7,
        )
        assert (push.text, push.answer.usage) == ("a push", Usage())
        assert await agent.conversations.recover() == ()
        outgoing = agent.outbox.outgoing("test")
        texts = [(await anext(outgoing)).text for _ in range(3)]
        assert texts[:2] == ["it blinks", "a push"]
        assert texts[2].startswith("pin 4 is on\n\nWhat the host did:\n- done: ")
        assert agent.workshop.done == [], "what was done is not done again"
        asked, reply, done, looked, joined = agent.script.requests[0].messages
        assert (asked, joined) == (UserText("pin 4 on"), UserText("and 5"))
        assert isinstance(reply, AssistantReply)
        assert [(c.call_id, c.name, json.loads(c.arguments)) for c in reply.calls] == [
            ("call-1", "gpio-set", {"pin": 4}),
            ("call-2", "gpio-get", {"pin": 4}),
        ]
        assert isinstance(done, ToolReturn)
        assert (done.call_id, done.failed) == ("call-1", False)
        assert isinstance(looked, ToolReturn)
        assert json.loads(looked.content)["level"] == 1, "a call that only looked looks again"
        kept = await agent.sessions.load("test", "c1")
        assert [m.content.partition("\n")[0] for m in kept] == ["pin 4 on", "and 5", "pin 4 is on"]
