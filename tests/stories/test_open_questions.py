"""A chat without a model: what was read taints no order, and an open question shuts nobody out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import TIMEOUT_S, Host, blink, started, until


def outcomes(document: dict[str, Any]) -> list[str]:
    return [action["outcome"] for action in document["actions"] if action["effect"] != "read"]


def test_what_an_offline_sentence_read_makes_no_order_ask(host: Host) -> None:
    assert host.run("chat", "--json", "--session", "reads", "what's the wifi signal?").code == 0
    done = host.run("chat", "--json", "--session", "reads", "turn off pin 6 then turn on pin 7")
    assert (done.code, outcomes(done.json)) == (0, ["done", "done"])
    referred = host.run("chat", "--json", "--session", "reads", "turn it off")
    assert (referred.code, set(outcomes(referred.json))) == (0, {"done"})


@pytest.mark.parametrize("said", ["no", "set pin 5 on"])
def test_a_chat_without_a_terminal_goes_on_while_a_question_is_open(host: Host, tmp_path: Path, said: str) -> None:
    assert host.run("run", blink(tmp_path, 10), "-d", "virtual-1", "-y").code == 0
    waiting = started(host.home, "chat", "--json", "--session", "script", "turn off pin 10")
    until(lambda: host.client.get("/v1/approvals")["approvals"])
    assert host.run("memory", "sessions", "--rm", "script", "--json", "--yes").json["error"]["code"] == "overloaded"
    ran = host.run("chat", "--json", "--session", "script", said)
    assert (ran.code, ran.json["error"]) == (0, None)
    waiting.communicate(timeout=TIMEOUT_S)
    assert waiting.returncode == 1
    assert not host.client.get("/v1/approvals")["approvals"]
    assert [app["condition"] for app in host.run("app", "list", "--json").json["apps"]] == ["running"]
