"""What an act asks a board on the link: each question costs a radio time, so they are counted on the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL

import pytest
from tests.forked import Forked
from tests.stories.conftest import BLINK, TIMEOUT_S, Host, running_host, until
from tests.stories.link_tap import LinkTap

from microclaw.wire.host_api import StreamResult

BOARD = "lamp"


@contextmanager
def tapped_board(host: Host, folder: Path) -> Iterator[LinkTap]:
    """A virtual board on the host's link, with a tap between."""
    secret = folder / "secret.json"
    words = ("--board", "virtual", "--file", str(secret), "--address", "127.0.0.1")
    provisioned = host.run("device", "provision", BOARD, *words)
    assert provisioned.code == 0, provisioned.err
    tap = LinkTap(str(host.facts["link"]))
    ports = ("--wasmachine", "0", "--serial", "none")
    command = ("microclaw.virtual", "--name", BOARD, *ports, "--link-secret-file", str(secret), *tap.options)
    process = Forked(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    try:
        until(lambda: BOARD in host.client.get("/v1/status")["link"]["connected"])
        yield tap
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)
        tap.close()


@pytest.fixture(scope="module")
def tap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, LinkTap]]:
    folder = tmp_path_factory.mktemp("questions")
    with running_host(folder / "home") as host, tapped_board(host, folder) as found:
        yield host, found


def test_an_installation_asks_a_board_on_the_link_few_questions(tap: tuple[Host, LinkTap]) -> None:
    host, wire = tap
    source = BLINK.replace("PIN", "2").replace("HALF_MS", "500")
    wire.calls.clear()
    *_, ended = host.client.stream(f"/v1/devices/{BOARD}/apps", {"name": "blink", "source": source})
    assert isinstance(ended, StreamResult)
    assert ended.value["evidence"]["kind"] == "counted"
    # The installation ends with a look after it read the last edges. A list after that is the reconciler's.
    order = list(wire.calls)
    edges_end = len(order) - order[::-1].index("edges.read")
    questions = Counter(order[: edges_end + 1])
    assert order[edges_end] == "apps.list"
    assert questions.pop("apps.write") > 0
    assert questions["apps.list"] <= 4, order
    assert questions["edges.read"] <= 8, order
    assert questions.total() <= 12, order
