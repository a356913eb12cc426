"""A whole host in this process: a sentence becomes code, a picture and a message; the API, the roles, devices."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.channels.telegram_server import TOKEN, TelegramServer
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import server

from microclaw.app import running_host
from microclaw.config.load import load_settings
from microclaw.config.settings import TelegramSettings
from microclaw.store.database import Database
from microclaw.store.people import PeopleTable, Person
from microclaw.store.telemetry import Point, TelemetryTable

USER = 100
PLOT = """
import plot
series = plot.read("telemetry.csv")
plot.lines("plot.png", series, title="The last hour", unit="C")
print(len(series["temperature"]), "points")
"""


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
            await PeopleTable(database).put(Person("p-ada", "Ada", "member", 1, (("tg", str(USER)),)), 1)
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
    about = {tool["function"]["name"]: tool["function"]["description"] for tool in provider.bodies[0]["tools"]}
    assert "run-code" in about["more-tools"]
    result = json.loads(provider.bodies[1]["messages"][-1]["content"])
    assert (result["success"], result["exit_code"], result["sent_to_chat"]) == (True, 0, ["plot.png"])
    assert "60 points" in result["output"] or "61 points" in result["output"]
    assert "<untrusted-" in result["output"]
