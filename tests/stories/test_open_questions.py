"""A chat without a model: what was read taints no order, and an open question shuts nobody out."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.stories.conftest import TIMEOUT_S, Host, blink, until


def outcomes(document: dict[str, Any]) -> list[str]:
    return [action["outcome"] for action in document["actions"] if action["effect"] != "read"]


def test_what_an_offline_sentence_read_makes_no_order_ask(host: Host) -> None:
    assert host.run("chat", "--json", "--session", "reads", "what's the wifi signal?").code == 0
    done = host.run("chat", "--json", "--session", "reads", "turn off pin 6 then turn on pin 7")
    assert (done.code, outcomes(done.json)) == (0, ["done", "done"])
    referred = host.run("chat", "--json", "--session", "reads", "turn it off")
    assert (referred.code, set(outcomes(referred.json))) == (0, {"done"})


def test_a_chat_without_a_terminal_says_no_at_once(host: Host, tmp_path: Path) -> None:
    assert host.run("run", blink(tmp_path, 10), "-d", "virtual-1", "-y").code == 0
    ran = host.run("chat", "--json", "--session", "nobody", "turn off pin 10")
    assert (ran.code, outcomes(ran.json)) == (1, ["refused"])
    assert host.run("chat", "--json", "--session", "nobody", "--yes", "turn off pin 10").code == 0


@pytest.mark.parametrize("said", ["no", "set pin 5 on"])
def test_a_chat_goes_on_while_a_question_is_open(host: Host, tmp_path: Path, said: str) -> None:
    assert host.run("run", blink(tmp_path, 10), "-d", "virtual-1", "-y").code == 0
    client, answers = host.client.watching(within_s=TIMEOUT_S), list[Any]()
    waiting = Thread(target=lambda: answers.append(client.say("turn off pin 10", chat_id="script")))
    waiting.start()
    until(lambda: host.client.get("/v1/approvals")["approvals"])
    assert host.run("memory", "sessions", "--rm", "script", "--json", "--yes").json["error"]["code"] == "overloaded"
    ran = host.run("chat", "--json", "--session", "script", said)
    assert (ran.code, ran.json["error"]) == (0, None)
    waiting.join(TIMEOUT_S)
    assert answers[0].error_code
    assert not host.client.get("/v1/approvals")["approvals"]
    assert [app["condition"] for app in host.run("app", "list", "--json").json["apps"]] == ["running"]
