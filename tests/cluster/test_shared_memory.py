"""Two hosts of a cluster: what one remembers the other knows, and the texts that lie in a home are not read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.cluster.nats_servers import NatsServer
from tests.cluster.whole_hosts import WholeHost, host_in_cluster

from microclaw.client.request import HostError


async def put(at: WholeHost, text: str, was: str, name: str = "MEMORY.md") -> None:
    await asyncio.to_thread(at.client.memory.write, text, was, name=name)


async def test_memory_and_persona_are_one_at_two_hosts(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stale = tmp_path / "two" / "memory" / "MEMORY.md"
    stale.parent.parent.mkdir(mode=0o700)
    stale.parent.mkdir()
    stale.write_text("- a stale fact about the lantern\n")
    async with (
        host_in_cluster(nats_server.url, cluster_name, tmp_path / "one") as one,
        host_in_cluster(nats_server.url, cluster_name, tmp_path / "two", like=tmp_path / "one") as two,
    ):
        assert "memory/MEMORY.md" in caplog.text
        assert (await two.ask("/v1/memory"))["text"] == ""
        done = await asyncio.to_thread(one.client.tools.call, "remember", {"text": "the lantern hangs on pin 7"})
        assert done["ok"], done
        kept = await two.until("/v1/memory", lambda answer: answer["text"])
        assert kept["text"] == "# Memory\n\n- the lantern hangs on pin 7\n"
        found = await two.until("/v1/memory/search?q=lantern", lambda answer: answer["found"])
        assert [each["text"] for each in found["found"]] == ["the lantern hangs on pin 7"]

        await put(two, kept["text"] + "- of two\n", kept["digest"])
        with pytest.raises(HostError):
            await put(one, kept["text"] + "- of one\n", kept["digest"])
        await one.until("/v1/memory", lambda answer: answer["text"].endswith("- of two\n"))

        soul = await one.ask("/v1/memory?name=SOUL.md")
        await put(one, "You are terse.", soul["digest"], "SOUL.md")
        await two.until("/v1/memory?name=SOUL.md", lambda answer: answer["text"] == "You are terse.\n")
        with pytest.raises(HostError):
            await two.ask("/v1/memory?name=people/x.md")
    assert stale.read_text() == "- a stale fact about the lantern\n"
    assert not (tmp_path / "one" / "memory").exists()
