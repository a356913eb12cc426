"""A chat without a model: what was read taints no order, and an open question shuts nobody out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import Host, environ_of, until

BLINK = """#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(10, GPIO_OUT); every(100, tick); }
"""


def outcomes(document: dict[str, Any]) -> list[str]:
    return [action["outcome"] for action in document["actions"] if action["effect"] != "read"]


def test_what_an_offline_sentence_read_makes_no_order_ask(host: Host) -> None:
    assert host.run("chat", "--json", "--session", "reads", "what's the wifi signal?").code == 0
    done = host.run("chat", "--json", "--session", "reads", "turn off pin 6 then turn on pin 7")
    assert (done.code, outcomes(done.json)) == (0, ["done", "done"])
    referred = host.run("chat", "--json", "--session", "reads", "turn it off")
    assert (referred.code, set(outcomes(referred.json))) == (0, {"done"})


@pytest.mark.parametrize(("said", "code"), [("no", 0), ("what is the temperature", 0), ("set pin 5 on", 0)])
def test_a_chat_without_a_terminal_goes_on_while_a_question_is_open(
    host: Host, tmp_path: Path, said: str, code: int
) -> None:
    (tmp_path / "blink.c").write_text(BLINK)
    assert host.run("run", str(tmp_path / "blink.c"), "-d", "virtual-1", "-y").code == 0
    waiting = subprocess.Popen(
        [sys.executable, "-m", "microclaw.cli", "chat", "--json", "--session", "script", "turn off pin 10"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environ_of(host.home),
    )
    until(lambda: host.client.get("/v1/approvals")["approvals"])
    ran = host.run("chat", "--json", "--session", "script", said)
    assert ran.code == code
    assert ran.json["error"] is None
    waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert not host.client.get("/v1/approvals")["approvals"]
    assert [app["condition"] for app in host.run("app", "list", "--json").json["apps"]] == ["running"]
