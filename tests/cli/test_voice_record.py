"""`voice record` beside a host that runs: the device says it, then what is heard is kept, and the owner sees it."""

from __future__ import annotations

import json
import stat
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.cli.test_talk import SPOKEN_S, spoken

from microclaw.cli.record_commands import recording_line, seconds_of


def test_a_device_says_that_it_is_recorded_and_what_follows_is_kept(
    host: dict[str, Any], ask: Run, tmp_path: Path
) -> None:
    said = spoken(tmp_path / "said.wav", "which devices are there")
    folder = Path(host["home"]) / "recordings"
    assert ask("voice", "talk", "--wav", said, timeout_s=SPOKEN_S).code == 0
    assert not folder.exists()
    try:
        begun = ask("voice", "record", "on", "this-machine", "--for", "1h")
        assert begun.code == 0, begun.err
        assert "once it is connected and has said so" in begun.out
        assert "this-machine will be recorded" in ask("status").out
        words = ("voice", "talk", "--wav", said, "--wav", said, "--wav", said)
        told = json.loads(ask("--json", *words, timeout_s=SPOKEN_S).out)
        spoken_texts = " ".join(text for turn in told["turns"] for text in turn["said"])
        assert "From now on what you say is recorded" in spoken_texts
        listed = json.loads(ask("--json", "voice", "record", "list").out)
        assert listed["on"][0]["told"] is True
        assert 1 <= len(listed["files"]) <= 2  # not the sentence before it was said
        for kept in listed["files"]:
            assert kept["text"] == "which devices are there"
            assert stat.S_IMODE(Path(kept["file"]).stat().st_mode) == 0o600
        assert ask("voice", "record", "off", "this-machine").code == 0
        again = ask("voice", "record", "off", "this-machine")
        assert again.code != 0
        assert "this device is not recorded" in again.err
        events = ask("audit").out
        assert [events.count(f"recording.{kind}") for kind in ("wanted", "begun", "ended")] == [1, 1, 1]
        assert "recording.ended" in events
        assert ask("voice", "record", "rm", listed["files"][0]["name"]).code == 0
        assert ask("voice", "record", "rm", "all", "--yes").code == 0
        assert list(folder.glob("*.wav")) == []
    finally:
        ask("device", "remove", "this-machine")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7_200), ("1d", 86_400), ("90", 90)])
def test_a_time_may_be_of_each_unit(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


def test_an_end_that_is_not_today_has_its_date() -> None:
    tomorrow = datetime.now().astimezone() + timedelta(days=1)
    window = {"device": "kitchen", "until_ms": tomorrow.timestamp() * 1000, "told": True}
    assert recording_line(window).endswith(f"{tomorrow:%a %d %b %H:%M:%S}")
    noon = datetime.now().astimezone().replace(hour=12, minute=0, second=0)
    assert recording_line({**window, "until_ms": noon.timestamp() * 1000}).endswith("until 12:00:00")


def test_what_cannot_be_recorded_is_refused(ask: Run) -> None:
    refused = ask("voice", "record", "on", "virtual-1")
    assert refused.code != 0
    assert "virtual-1 has no microphone for this host" in refused.err
    assert ask("voice", "record", "on", "virtual-1", "--for", "2d").code != 0
    assert ask("voice", "record", "on", "virtual-1", "--for", "1s").code == 2
    assert ask("voice", "record", "rm").code == 2
    assert ask("voice", "record", "rm", "../secrets").code != 0
