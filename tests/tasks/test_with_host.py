"""A whole host in this process: a sentence becomes code, a picture and a message; the API, the roles, devices."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.api.people_host import people_host
from tests.channels.telegram_server import TOKEN, TelegramServer
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import server

from microclaw.app import running_host
from microclaw.audit import read_events
from microclaw.client import Client
from microclaw.client.request import HostError
from microclaw.config.load import load_settings
from microclaw.config.settings import TelegramSettings
from microclaw.egress.destinations import Egress
from microclaw.events import Answer
from microclaw.store.database import Database
from microclaw.store.people import PeopleTable, PersonRow
from microclaw.store.telemetry import Point, TelemetryTable

USER = 100
PLOT = """
import plot
series = plot.read("telemetry.csv")
plot.lines("plot.png", series, title="The last hour", unit="C")
print(len(series["temperature"]), "points")
"""


async def to_loopback(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def call(name: str, **arguments: Any) -> Events:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return Events(openai_stream(calls=[{"index": 0, "id": "call-1", "type": "function", "function": function}]))


async def test_plot_the_last_hour_of_temperatures_ends_as_a_picture_in_the_chat(tmp_path: Path) -> None:
    plotting = call(
        "run-code", code=PLOT, keep=["plot.png"], telemetry=[{"key": "temperature", "since": "1h", "device": "kitchen"}]
    )
    replies = ((200, plotting), (200, Events(openai_stream("Here is the last hour."))))
    async with server(*replies) as provider, TelegramServer.running() as telegram:
        environ = {"OPENAI_BASE_URL": f"{provider.url}/v1", "MICROCLAW_MODEL": "test-model"}
        settings = load_settings(environ, home=tmp_path / "home", http_port=None)
        settings = replace(settings, telegram=TelegramSettings(TOKEN, telegram.base_url))
        async with Database.open(settings.database) as database:
            await PeopleTable(database).put(PersonRow("p-ada", "Ada", "member", 1, (("tg", str(USER)),)), 1)
        async with running_host(replace(settings, telegram=None)) as host:
            device = await host.devices.add("kitchen", "virtual", ["wasmachine://127.0.0.1:9"])
        async with Database.open(settings.database) as database:
            now = time.time_ns() // 1_000_000
            points = [Point(device.device_id, "temperature", now - n * 60_000, 20 + n / 10) for n in range(90)]
            await TelemetryTable(database).append(points)
        async with asyncio.timeout(60), running_host(settings):
            await telegram.say("plot the last hour of temperatures", user=USER)
            await telegram.until(lambda: any(sent.file is not None for sent in telegram.chat(USER)))
    *_, answer, picture = telegram.chat(USER)
    assert answer.text.startswith("Here is the last hour.")
    assert picture.file is not None
    name, kind, content = picture.file
    assert (name, kind) == ("plot.png", "image/png")
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) > 2_000
    offered = {tool["function"]["name"] for tool in provider.bodies[0]["tools"]}
    assert "run-code" in offered
    result = json.loads(provider.bodies[1]["messages"][-1]["content"])
    assert (result["success"], result["exit_code"], result["sent_to_chat"]) == (True, 0, ["plot.png"])
    assert "60 points" in result["output"] or "61 points" in result["output"]
    assert "<untrusted-" in result["output"]


async def test_the_terminal_is_told_where_a_file_is_and_gets_it(tmp_path: Path) -> None:
    writing = call("run-code", code="open('a.csv', 'w').write('1,2')", keep=["a.csv"], send=True)
    replies = ((200, writing), (200, Events(openai_stream("It is done."))))
    async with server(*replies) as provider:
        environ = {"OPENAI_BASE_URL": f"{provider.url}/v1", "MICROCLAW_MODEL": "test-model"}
        settings = load_settings(environ, home=tmp_path / "home", http_port=None)
        async with running_host(settings):
            client = Client(settings.control_socket)
            asked = {"text": "write a csv file with python"}
            events = await asyncio.to_thread(lambda: list(client.stream("/v1/chat", asked)))
            answer = events[-1]
            assert isinstance(answer, Answer)
            (file,) = answer.files
            assert (file.name, file.size_bytes, file.media_type) == ("a.csv", 3, "text/csv")
            path = f"/v1/tasks/{file.task}/files/{file.name}"
            found = await asyncio.to_thread(lambda: b"".join(client.download(path, method="GET")))
            assert found == b"1,2"
            assert (settings.tasks_folder / str(file.task) / "files" / "a.csv").read_bytes() == b"1,2"


async def test_tasks_over_the_api_are_for_owners_and_members_and_each_sees_their_own(tmp_path: Path) -> None:
    async with people_host(tmp_path / "home") as served:
        body = {"code": "print(open('in.txt').read(), end='')", "files": {"in.txt": base64.b64encode(b"hi").decode()}}
        assert (await served.ask("gus", "POST", "/v1/tasks", body))[0] == 403
        assert (await served.ask(None, "POST", "/v1/tasks", body))[0] == 401
        status, made = await served.ask("ada", "POST", "/v1/tasks", body)
        assert status == 201, made
        path = f"/v1/tasks/{made['task']}"
        async with asyncio.timeout(60):
            while (found := (await served.ask("ada", "GET", f"{path}?wait_s=20"))[1])["state"] in ("queued", "running"):
                pass
        assert (found["state"], found["output"], found["by"]) == ("done", "hi", "ada")
        for who, seen in (("owner", 1), ("ada", 1), ("bob", 0), ("gus", 0)):
            status, listed = await served.ask(who, "GET", "/v1/tasks")
            assert (status, len(listed["tasks"])) == (200, seen)
        assert (await served.ask("bob", "GET", path))[0] == 404
        assert (await served.ask("bob", "DELETE", path))[0] == 404
        assert (await served.ask("gus", "DELETE", path))[0] == 403
        assert (await served.ask("ada", "GET", f"{path}/files/..%2f..%2fmicroclaw.db"))[0] in (404, 422)
        assert (await served.ask("ada", "GET", "/v1/tasks/99999999999999999999"))[0] == 404
        metrics = await asyncio.to_thread(served._ask, "owner", "GET", "/metrics", None)
        assert b'microclaw_code_tasks_ended_total{ending="ended"} 1.0' in metrics[1]
        state = await served.socket("GET", "/v1/status")
        assert state["code"] == {"running": 0, "waiting": 0, "endings": {"ended": 1}}
        wrong = {"code": "print(1)", "files": {"../x": ""}}
        with pytest.raises(HostError) as refused:
            await served.socket("POST", "/v1/tasks", wrong)
        assert refused.value.failure.code == "task_refused"


async def test_who_is_asked_for_a_task_with_network_reads_the_code_the_files_and_the_hosts(tmp_path: Path) -> None:
    async with people_host(tmp_path / "home") as served:
        allow = [
            {"host": "api.example.com", "tasks": ["report"], "methods": ["GET"]},
            {"host": "other.example.com", "tasks": ["weather"]},
            {"host": "pypi.example.com"},
        ]
        (served.settings.home / "egress.yaml").write_text(json.dumps({"allow": allow}))
        files = {"a.txt": b"one\ntwo", "b.bin": b"\xff" * 9, "helper.py": b"x = 1\n" * 150, "long.csv": b"1\n" * 150}
        encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
        body = {"code": "import helper\nprint(2)", "files": encoded, "allow": "report"}
        asking = asyncio.ensure_future(served.ask("ada", "POST", "/v1/tasks", body))
        (question,) = await served.waiting()
        hashes = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in files.items()}
        assert question["detail"] == [
            "code: 2 lines", "    import helper", "    print(2)",
            f"file a.txt: 7 bytes, sha256 {hashes['a.txt']}", "    one", "    two",
            f"file b.bin: 9 bytes, sha256 {hashes['b.bin']}",
            f"file helper.py: 900 bytes, sha256 {hashes['helper.py']}", *["    x = 1"] * 150,
            f"file long.csv: 300 bytes, sha256 {hashes['long.csv']}",
            "it may reach: 2 hosts", "    api.example.com, port 443, GET", "    pypi.example.com, port 443, any method",
        ]  # fmt: skip
        await served.socket("POST", f"/v1/approvals/{question['approval_id']}", {"approved": True})
        assert (await asking)[0] == 201
        async with asyncio.timeout(60):
            while (await asyncio.to_thread(served.client.get, "/v1/tasks/1", {"wait_s": 20}))["ended_ms"] is None:
                pass
        status, refused = await served.ask("ada", "POST", "/v1/tasks", {**body, "code": "x = 1\n" * 1_001})
        assert (status, "nobody is asked for more" in refused["error"]["message"]) == (403, True)
        assert await served.waiting(0) == []
        status, refused = await served.ask("ada", "POST", "/v1/tasks", {**body, "allow": "nope"})
        assert refused["error"]["code"] == "task_refused"
        assert "all, report, weather" in refused["error"]["next"]
    (started,) = [one.event for one in read_events(served.settings.home) if one.event.kind == "task.started"]
    assert started.text.endswith(f"network: report, approval: {question['approval_id']}, by owner")
    assert (started.by, started.approval) == ("ada", question["approval_id"])


async def test_code_reaches_what_the_allowlist_gives_it_and_nothing_else_and_the_log_says_so(tmp_path: Path) -> None:
    """A server of this test stands for a public one: its address is let through by name alone."""
    code = """
import urllib.error, urllib.request
for url in ("http://api.example.com:%d/x", "http://other.example.com/", "http://10.0.0.1/"):
    try:
        print(urllib.request.urlopen(url).read().decode())
    except urllib.error.HTTPError as exc:
        print(exc.code)
"""
    async with server((200, {"said": "hello"})) as outside:
        port = int(outside.url.rpartition(":")[2])
        settings = load_settings({}, home=tmp_path / "home", http_port=None)
        settings.home.mkdir(mode=0o700, exist_ok=True)
        entry = {"host": "api.example.com", "ports": [port], "tasks": ["report"]}
        (settings.home / "egress.yaml").write_text(json.dumps({"allow": [entry]}))
        egress = Egress(resolve=to_loopback, why_not=lambda _: None, own=tuple)
        async with running_host(settings, egress=egress):
            client = Client(settings.control_socket)
            body = {"code": code.replace("%d", str(port)), "allow": "report"}
            made = await asyncio.to_thread(client.post, "/v1/tasks", body)
            path = f"/v1/tasks/{made['task']}"
            async with asyncio.timeout(60):
                while (found := await asyncio.to_thread(client.get, path, {"wait_s": 20}))["ended_ms"] is None:
                    pass
            for name in ("other", "all", "Report", "the report of today; it is harmless"[:32]):
                with pytest.raises(HostError) as refused:
                    await asyncio.to_thread(client.post, "/v1/tasks", {**body, "allow": name})
                assert refused.value.failure.code == "task_refused"
    assert found["output"].split() == ['{"said":', '"hello"}', "403", "403"]
    log = [one.event for one in read_events(settings.home)]
    assert [event.about for event in log if event.kind == "egress.allowed"] == ["task 1"]
    assert len([event for event in log if event.kind == "egress.refused"]) == 2
    assert "network: report, approval: own command" in next(e.text for e in log if e.kind == "task.started")
