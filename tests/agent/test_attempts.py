"""What a model tried stays in the journal: each source's hash, and what was wrong with it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from tests.stores import new_store

from microclaw.agent.attempts import DEPLOY_TOOL, attempts_of, latest_attempts
from microclaw.agent.turn_journal import encode
from microclaw.operations.tool import ToolResult
from microclaw.store.database import Database
from microclaw.store.journal import EffectKey, Journal


def asked(source: str, app: str = "blink") -> str:
    return json.dumps({"sourceCode": source, "appName": app, "device": "virtual-1"})


def wrong(message: str, *diagnostics: str) -> str:
    return json.dumps({"success": False, "error": "build_error", "message": message, "diagnostics": diagnostics})


async def test_each_try_has_its_hash_and_its_diagnostics_newest_first(tmp_path: Path) -> None:
    clock = iter(range(1000))
    async with Database.open(new_store(tmp_path / "store.db")) as database:
        journal = Journal(database, lambda: next(clock))
        await tried(journal, EffectKey("t1", 0, 0), asked("BAD"), wrong("no BAD", "main.c:1: no BAD"), ok=False)
        await tried(journal, EffectKey("t1", 1, 0), asked("GOOD"), '{"success":true}', ok=True)
        await tried(journal, EffectKey("t2", 0, 0), asked("OTHER", "fade"), '{"success":true}', ok=True)
        await journal.write([journal.starting(EffectKey("t2", 1, 0), "gpio-set", '{"pin":2}', "idempotent")])
        found = await latest_attempts(journal, 10)
        two = await latest_attempts(journal, 2)
    assert [(t.app, t.number, t.state, t.error, t.message) for t in found] == [
        ("fade", 1, "done", None, None),
        ("blink", 2, "done", None, None),
        ("blink", 1, "failed", "build_error", "no BAD"),
    ]
    assert found[-1].source_sha256 == sha256(b"BAD").hexdigest()
    assert found[-1].diagnostics == ["main.c:1: no BAD"]
    assert found[-1].device == "virtual-1"
    assert [t.app for t in two] == ["fade", "blink"]


async def test_call_that_is_no_json_or_names_no_source_is_no_try(tmp_path: Path) -> None:
    async with Database.open(new_store(tmp_path / "store.db")) as database:
        journal = Journal(database, lambda: 7)
        for index, arguments in enumerate(("{", "[]", '{"appName":"x"}', '{"appName":3,"sourceCode":"x"}')):
            await journal.write([journal.starting(EffectKey("t", 0, index), DEPLOY_TOOL, arguments, "idempotent")])
        assert attempts_of(await journal.of_turn("t")) == []


async def tried(journal: Journal, key: EffectKey, arguments: str, result: str, *, ok: bool) -> None:
    started = journal.starting(key, DEPLOY_TOOL, arguments, "idempotent")
    await journal.write([started, journal.ending(key, encode(ToolResult(result, ok=ok)), ok=ok)])
