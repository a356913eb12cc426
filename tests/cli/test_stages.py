"""A stage that failed is told once: as the error that ends the command, or as the stage."""

from __future__ import annotations

import io

from microclaw.cli.programs import Stages
from microclaw.events import Step
from microclaw.terminal.page import Look, Terminal
from microclaw.wire.host_api import Failure

FAILED = Step("try", "it trapped\nin main", "failed", detail=("line 4",), next_step="look at line 4")


def shown(*steps: Step, failure: Failure | None = None) -> str:
    out = io.StringIO()
    stages = Stages(Terminal(out, Look(colour=False, live=False)))
    for step in steps:
        stages.show(step)
    if failure is not None:
        stages.failed(failure)
    stages.flush()
    return out.getvalue()


def test_a_failure_that_says_the_same_leaves_the_stages_name_and_reason() -> None:
    failure = Failure("trial_failed", "it trapped\nin main\nline 4", "look at line 4")
    assert shown(Step("check", "ok"), FAILED, failure=failure) == "check    ok\ntry      failed  it trapped\n"


def test_a_long_reason_is_cut_to_one_line() -> None:
    reason = "nothing defines a name that is quite long, " * 3
    out = shown(Step("check", reason, "failed"), failure=Failure("build_failed", reason))
    assert out.startswith("check    failed  nothing defines a name")
    assert out.count("\n") == 1
    assert out.endswith("…\n")


def test_what_the_failure_does_not_say_is_shown() -> None:
    out = shown(FAILED, failure=Failure("trial_failed", "it trapped", "ask"))
    assert "in main" in out
    assert "line 4" in out


def test_a_stage_that_failed_and_is_gone_past_is_shown_whole() -> None:
    out = shown(FAILED, Step("deploy", "sent all the same"))
    assert out.index("it trapped") < out.index("look at line 4") < out.index("sent all the same")
    assert "it trapped" in shown(FAILED)
