"""A board that is switched off in order says so; one that is cut off does not."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.virtual.conftest import TIMEOUT_S, StartBoard
from tests.virtual.link.conftest import ScriptedHost

from microclaw.wire.link.messages import Bye, RunTask


def test_a_terminated_board_says_bye_and_closes_1001(
    start_board: StartBoard, host: ScriptedHost, tmp_path: Path
) -> None:
    board = start_board("--serial", "none", "--flash", str(tmp_path), *host.options)
    host.wait(lambda: host.is_connected)
    board.process.send_signal(signal.SIGTERM)
    said = host.wait_for(Bye, lambda bye: bye.reason != "paired")
    assert (said.reason, said.retry_after_s) == ("switched off", None)
    host.wait(lambda: (1001, "switched off") in host.closes)
    assert board.process.wait(TIMEOUT_S) == 0
    assert len(host.certificates) == 2, "one connection to pair, one to work: it did not come back"


def test_a_terminated_board_loses_no_task(start_board: StartBoard, host: ScriptedHost, tmp_path: Path) -> None:
    board = start_board("--serial", "none", "--flash", str(tmp_path), *host.options)
    host.wait(lambda: host.is_connected)
    board.control().raw(b'{"id":1,"op":"link_task","task":"t1","input":"how warm is it?"}')
    board.process.send_signal(signal.SIGTERM)
    assert board.process.wait(TIMEOUT_S) == 0
    start_board("--serial", "none", "--flash", str(tmp_path), *host.options)
    host.wait_for(RunTask, lambda asked: asked.task == "t1")
