"""kill -9 in the middle of a turn: the message is answered once, what was done is not done again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.agent.killable_host import BY_RULE, RESUMED, killed_after

UNKNOWN = "outcome_unknown"


@pytest.mark.parametrize(
    ("effect", "point", "acted", "error", "asked"),
    [
        ("once", "model 1", 1, None, 2),
        ("once", "tool begun", 0, UNKNOWN, 0),
        ("once", "tool acted", 1, UNKNOWN, 0),
        ("once", "model 2", 1, None, 1),
        ("once", "keeping the answer", 1, None, 1),
        ("once", "answer kept", 1, None, 0),
        ("idempotent", "tool begun", 1, None, 1),
        ("idempotent", "tool acted", 2, None, 1),
        ("read", "tool acted", 2, None, 2),
        (BY_RULE, "tool acted", 2, None, 2),
        (BY_RULE, "model 2", 2, None, 2),
        (BY_RULE, "answer kept", 1, None, 0),
    ],
)
def test_a_message_is_answered_once_wherever_the_host_is_killed(
    tmp_path: Path, effect: str, point: str, acted: int, error: str | None, asked: int
) -> None:
    with killed_after(tmp_path, effect, point) as reported:
        assert reported == point
    with killed_after(tmp_path, effect) as seen:
        world = tmp_path / "world"
        assert (world.read_text().count("acted") if world.exists() else 0) == acted
        assert seen["error"] == error
        if error != UNKNOWN:
            outcome = "read" if effect == "read" else "done"
            record = f"\n\nWhat the host did:\n- {outcome}: act (counted: the world says so)"
            assert seen["text"] == "it is done" + record
            assert seen["evidence"] == ["the world says so"]
        assert seen["asked"] == asked, "what the model has said is not asked again"
        assert (seen["key"], seen["duplicate"], seen["left"], seen["told"]) == ("k1", True, 0, ())
        assert seen["follow_up"].startswith("heard again after 2"), "the chat has the message and its answer once"


def test_a_message_that_ends_the_host_each_time_is_given_up(tmp_path: Path) -> None:
    for point in ("model 1", f"{RESUMED}model 1", f"{RESUMED}model 1"):
        with killed_after(tmp_path, "once", point) as reported:
            assert reported == "model 1"
    with killed_after(tmp_path, "once") as seen:
        assert seen["error"] == "interrupted"
    assert not (tmp_path / "world").exists()
