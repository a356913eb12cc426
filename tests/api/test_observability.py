"""A host that stops ends its streams of live events."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from tests.api.unix_http import UnixConnection

from microclaw.cli.child import Child


def test_a_host_that_stops_ends_its_streams(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
    words = ["microclaw", "--json", "--home", str(tmp_path), "up", "--port", "0", "--die-with-parent"]
    with Child("host", words, log=tmp_path / "stderr", environ=environ) as child:
        facts, _ = child.wait_ready()
        with closing(UnixConnection(Path(facts["control"]), 30)) as connection:
            connection.request("GET", "/v1/events")
            stream = connection.getresponse()
            assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert stream.readline() == b"retry: 2000\n"
            child.stop()
            assert b"\nid:" not in stream.read()
    assert "Traceback" not in (tmp_path / "stderr").read_text() + (tmp_path / "microclaw.log").read_text()
