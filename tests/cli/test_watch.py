"""`microclaw watch`: a save of the file puts the new program on the board; a broken one is told and waited over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import clean_environ

PATIENCE_S = 60.0
BLINK = (
    '#include "microclaw.h"\nint main(void) {{\n    int led = gpio_open({pin}, GPIO_OUT);\n'
    "    for (;;) {{ gpio_toggle(led); delay(100); }}\n}}\n"
)


def test_each_save_is_run_and_a_broken_one_is_told(
    host: dict[str, Any], ask: Callable[..., Any], tmp_path: Path
) -> None:
    source, log = tmp_path / "follow.c", tmp_path / "watch.txt"
    source.write_text(BLINK.format(pin=5))
    home = Path(host["home"])
    words = [sys.executable, "-m", "microclaw", "--home", str(home), "-d", "virtual-1", "watch", str(source)]
    with log.open("w") as out:
        child = subprocess.Popen(words, stdout=out, stderr=out, env={**os.environ, **clean_environ(home)})
    try:
        _until(lambda: _pins(ask) == [5], log)
        source.write_text("int main(void) { return nonsense; }\n")
        _until(lambda: "nonsense" in log.read_text(), log)
        assert _pins(ask) == [5], "the one that works stays"
        source.write_text(BLINK.format(pin=6))
        _until(lambda: _pins(ask) == [6], log)
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE_S) == 130
        assert _pins(ask) == [6], "it stays on the board"
    finally:
        child.kill()
        child.wait()
        ask("app", "uninstall", "follow")


def _pins(ask: Callable[..., Any]) -> list[int]:
    apps = json.loads(ask("--json", "app", "list", "-d", "virtual-1").out)["apps"]
    return next((list(app["pins"]) for app in apps if app["name"] == "follow"), [])


def _until(holds: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
