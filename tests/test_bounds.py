"""A test that waits for ever fails: the bound reaches each way to wait in the main thread."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from tests.bounds import within


def wait_in_a_coroutine() -> None:
    asyncio.run(wait_for_nothing())


async def wait_for_nothing() -> None:
    await asyncio.Event().wait()


def wait_for_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.accept()


def wait_for_a_process() -> None:
    subprocess.run([sys.executable, "-c", "import signal; signal.pause()"], check=True)


def wait_for_a_thread() -> None:
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    thread.join()


WAITS = [wait_in_a_coroutine, wait_for_a_connection, wait_for_a_process, wait_for_a_thread]


@pytest.mark.parametrize("wait", WAITS)
def test_what_waits_for_ever_fails(wait: Callable[[], None]) -> None:
    with pytest.raises(pytest.fail.Exception), within(0.1):
        wait()


def test_the_stack_of_a_waiting_coroutine_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(pytest.fail.Exception), within(0.1):
        wait_in_a_coroutine()
    assert "wait_for_nothing" in capsys.readouterr().err
