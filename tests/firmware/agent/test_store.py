"""What is in flash: torn lines, kill -9 in the middle of a conversation, bounded files, the commands of the cable."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from tests.firmware.agent.conftest import AUTHORITY, KEY, AgentBoard, Asked, anthropic, ask, scripted, until
from tests.firmware.conftest import MICROPYTHON, PATIENCE_S, ROOT, micropython
from tests.firmware.test_console import said
from websockets.exceptions import ConnectionClosed

KILLS = 12


async def test_kill_9_in_the_middle_of_writes_loses_no_conversation(board: AgentBoard, tmp_path: Path) -> None:
    """The moment is counted from the board's first answers: a loaded machine needs seconds until there are any."""
    rng = random.Random(7)
    answered: list[str] = []
    number = 0
    async with scripted(tmp_path, lambda asked: anthropic(asked.json["messages"][-1]["content"])) as server:
        for _ in range(KILLS):
            board.agent(api_key=KEY, model_url=server.url)
            async with board.running():
                first = len(answered) + rng.randint(1, 5)
                killing = None
                try:
                    async with board.client() as client:
                        while True:
                            number += 1
                            answered.append(await ask(client, f"n{number} " + "x" * 500))
                            if len(answered) == first:
                                killing = asyncio.create_task(_kill(board, rng.uniform(0, 0.3)))
                except ConnectionClosed as exc:  # the board is dead
                    print(exc)
                assert killing is not None, "it died by itself"
                await killing
    path = board.folder / "agent_data/sessions/ws_client1.jsonl"
    kept = [row for row in map(_row, path.read_text().splitlines()) if row]
    said_ = [row["content"] for row in kept if row["role"] == "assistant"]
    assert len(answered) >= KILLS
    # The file keeps its 20 newest rows when it is written anew; some may be of answers that were killed on their way.
    told = [text for text in said_ if text in answered]
    assert len(told) >= min(5, len(answered))
    assert told == answered[-len(told) :], "what was answered is kept, in order, without a gap"


async def _kill(board: AgentBoard, after_s: float) -> None:
    await asyncio.sleep(after_s)
    board.kill()


def _row(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def test_a_torn_last_line_costs_only_itself_and_the_file_stays_bounded(board: AgentBoard) -> None:
    found = micropython(
        f"""
import os
from agent.store import Store
store = Store({str(board.folder)!r})
path = {str(board.folder)!r} + "/sessions/ws_a.jsonl"
store.add("ws_a", [("user", "one", 1, "host"), ("assistant", "two", 1, "board")])
with open(path, "ab") as file:
    file.write(b'{{"role":"user","content":"tor')
print([row["content"] for row in store.history("ws_a")])
store.add("ws_a", [("user", "three", 2, "board"), ("assistant", "x" * 9000, 2, "board")])
print([row["content"][:5] for row in store.history("ws_a")], len(store.history("ws_a")[-1]["content"]))
print([row["content"][:5] for row in store.meanwhile("ws_a")])
with open(path, "ab") as file:
    file.write(b'[1]\\n{{"role":"evil","content":"x"}}\\n{{"role":"user","content":7}}\\n\\xff\\n')
print(len(store.history("ws_a")))
for n in range(200):
    store.add("ws_a", [("user", "y" * 1000, n, "host"), ("assistant", "z", n, "host")])
print(os.stat(path)[6] <= 65536, len(store.history("ws_a")))
for n in range(50):
    store.add("ws_%d" % n, [("user", "y", n, "host"), ("assistant", "z", n, "host")])
print(len(store.names("sessions")))
store.add("../../evil", [("user", "y", 1, "host")])
print([name for name, _ in store.names("sessions") if "evil" in name])
"""
    ).splitlines()
    assert found == [
        "['one', 'two']",
        "['one', 'two', 'three', 'xxxxx'] 8000",
        "['two', 'three', 'xxxxx']",
        "4",
        "True 20",
        "32",
        "['%2e%2e%2f%2e%2e%2fevil.jsonl']",
    ]


def test_surrogates_and_depth_of_json(board: AgentBoard) -> None:
    script = r"""
from agent.text import clean, cut, loads
print(loads(b'["\\ud83d\\ude00 \\ud83d x \\ude00 \\u00e9"]')[0])
print(loads(b'"' + b"[" * 100 + b'"')[:3], cut("aé", 2), cut("aé", 3))
for bad in (b"[" * 25 + b"]" * 25, b"\xff", b"", b"{x"):
    try:
        loads(bad)
        print("taken")
    except ValueError:
        print("refused")
"""
    assert micropython(script).splitlines() == ["😀 ? x ? é", "[[[ a aé", *["refused"] * 4]


def test_jobs_of_cron_json_are_mimiclaws_and_run_once_after_a_pause(board: AgentBoard) -> None:
    script = f"""
from agent.cron import Cron
from agent.store import Store
store = Store({str(board.folder)!r})
old = '{{"kind": "every", "interval_s": 60, "message": "old", "name": "a", "id": "1"}}'
store.write("cron.json", '{{"jobs": [7, ' + old + "]}}")
cron = Cron(store)
print([job["message"] for job in cron.due(1000)], [job["next_run"] for job in cron.jobs])
print([job["message"] for job in cron.due(1060)], [job["message"] for job in cron.due(1061)])
cron.add("b", "once", "websocket", "ws_a", 1061, at_s=1100)
cron = Cron(store)
print([job["message"] for job in cron.due(5000)], [job["next_run"] for job in cron.jobs])
print([job["message"] for job in cron.due(0)], [job["message"] for job in cron.due(1070)])
"""
    assert micropython(script).splitlines() == ["[] [1060]", "['old'] []", "['old', 'once'] [5020]", "[] []"]


async def test_a_job_and_the_heartbeat_speak_by_themselves(board: AgentBoard, tmp_path: Path) -> None:
    def script(asked: Asked) -> Any:
        return anthropic("heard: " + asked.json["messages"][-1]["content"][:60])

    async with scripted(tmp_path, script) as server:
        board.agent(api_key=KEY, model_url=server.url)
        job = {"id": "1", "kind": "at", "at_epoch": int(time.time()) + 1, "message": "look", "channel": "websocket"}
        board.write("agent_data/cron.json", json.dumps({"jobs": [{**job, "chat_id": "ws_a"}]}))
        board.write("agent_data/HEARTBEAT.md", "# Tasks\n- water the plant\n")
        board.environ["MICROCLAW_HEARTBEAT_S"] = "1"
        async with board.running(), board.client():
            await until(lambda: {"look"} <= {asked.json["messages"][-1]["content"] for asked in server.asked})
            await until(lambda: any("water the plant" in str(asked.json["messages"][-1]) for asked in server.asked))
    assert ("assistant", "heard: look") in board.session("ws_a")


def test_the_cable_takes_keys_shows_none_and_reads_an_authority(board: AgentBoard) -> None:
    pem = base64.encodebytes(AUTHORITY.certificate.public_bytes(Encoding.DER)).decode().split()
    lines = ["-----BEGIN CERTIFICATE-----", *pem, "-----END CERTIFICATE-----"]
    found = said(
        board,
        f"set_api_key {KEY}",
        "set_model_provider llama",
        "set_model_provider openai",
        "set_model_url ftp://x",
        "set_model_url https://models.example/v1",
        "tg_allow -100123",
        "gateway_token",
        "memory_write The lamp is at pin 4.",
        "memory_read",
        *[f"ca_pem {line}" for line in lines],
        "ca_list",
        "agent_status",
        "config_show",
        "heartbeat_trigger",
        "session_list",
        "session_clear ../../settings.json",
        "help",
        "nonsense",
    )
    text = "\n".join(found)
    told = board.read("agent_data/settings.json")
    assert (told["api_key"], told["provider"]) == (KEY, "openai")
    assert (told["model_url"], told["tg_chats"]) == ("https://models.example/v1", [-100123])
    assert KEY not in text
    assert text.count(told["gateway_token"]) == 1
    assert (board.folder / "agent_data/ca/1.der").read_bytes() == AUTHORITY.certificate.public_bytes(Encoding.DER)
    for words in (
        "anthropic or openai",
        "https://",
        "The lamp is at pin 4.",
        "1.der",
        "model: given",
        "set_api_key KEY",
    ):
        assert words in text
    said(board, "config_reset")
    assert not (board.folder / "agent_data/settings.json").exists()


def test_tool_exec_does_on_the_cable_what_the_model_would(board: AgentBoard) -> None:
    text = "\n".join(
        said(
            board,
            "tool_exec gpio_write pin=4 level=1",
            "tool_exec gpio_read pin=4",
            "tool_exec gpio_write pin=6 level=1",
            "tool_exec gpio_write pin=4 level=up",
            'tool_exec write_file name=files/note "content=two words"',
            "tool_exec read_file name=files/note",
            "tool_exec list_programs",
            "tool_exec perform",
            "tool_exec gpio_read 4",
            "tool_exec gpio_read =4",
        )
    )
    assert "tool_exec gpio_write ok: pin 4 is 1" in text
    assert "tool_exec gpio_read ok: 1" in text
    assert "tool_exec list_programs ok: (nothing)" in text
    assert "tool_exec perform failed: there is no tool of this name" in text
    assert "tool_exec gpio_write failed: level is not of the right kind" in text
    assert "two words" in text
    assert text.count("error: parameters are NAME=VALUE") == 2


def test_skills_are_written_by_the_person_alone(board: AgentBoard) -> None:
    text = "\n".join(
        said(
            board,
            "skill_write plants when somebody asks for the plants",
            "skill_write plants Read the moisture at pin 34; below 1 V they need water.",
            "skill_list",
            "skill_show plants",
            "tool_exec read_file name=skills/plants.md",
            'tool_exec write_file name=skills/plants.md "content=obey me"',
            "skill_write ../settings x",
            "skill_write big " + "x" * 900,
            "skill_write big " + "x" * 900,
            "skill_write big " + "x" * 900,
            "skill_write big " + "x" * 900,
            *[f"skill_write s{n} x" for n in range(15)],
            "skill_remove big",
            "skill_show big",
        )
    )
    assert "plants.md (90 bytes)" in text
    assert text.count("below 1 V they need water") == 2
    assert "tool_exec write_file failed: only these" in text
    assert "error: only these" in text
    assert "error: a skill has at most 3000 bytes" in text
    assert "error: 16 skills are there: skill_remove one" in text
    assert "error: there is no skill big: skill_list" in text
    assert not (board.folder / "agent_data/settings.md").exists()


def test_a_board_without_the_package_has_none_of_it(board: AgentBoard, tmp_path: Path) -> None:
    folder = tmp_path / "fw"
    folder.mkdir()
    for path in (ROOT / "firmware/fw").glob("*.py"):
        (folder / path.name).write_bytes(path.read_bytes())
    board.folder.mkdir()
    done = subprocess.run(
        [MICROPYTHON, "tests/firmware/simulated/boot.py", f"{board.folder}/", str(folder)],
        input="agent_status\nconfig_show\nrestart\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert "InvalidInput" in done.stdout.splitlines()[0]
    assert done.stderr == ""
    assert not (board.folder / "agent_data").exists()
