"""The forms of answers about tasks, devices, apps and changes, for the OpenAPI document.

A field may be added to any of them: a client leaves alone what it does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from microclaw.store.tasks import TaskEnding, TaskState

Responses: TypeAlias = dict[int | str, dict[str, Any]]
FORM: Final = "x-form"


FORMS: Final[dict[str, type]] = {}  # all that a route names


def answers(form: type, status: int = 200) -> Responses:
    """`responses` of a route whose answer has this form; its schema is made when somebody asks for the document."""
    FORMS[form.__name__] = form
    return {status: {FORM: form.__name__}}


def filled(form: type, row: object, **more: Any) -> dict[str, Any]:
    """The fields of `form`: those of `more`, and the row's own of the same names."""
    return {name: more[name] if name in more else getattr(row, name) for name in form.__annotations__}


class TaskFileFacts(TypedDict):
    name: str
    size_bytes: int
    media_type: str


class TaskFacts(TypedDict):
    """A task without what it printed. `not_kept` has the reason for each file that was wanted and not taken out."""

    task: int
    state: TaskState
    ending: TaskEnding | None
    exit_code: int | None
    reason: str | None
    language: str
    by: str
    code_bytes: int
    code_sha256: str
    files_in: list[str]
    files: list[TaskFileFacts]
    not_kept: dict[str, str]
    allow: Annotated[str | None, Field(description="Its name in the allowlist; null: no network")]
    limits: dict[str, float]
    output_bytes: int
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    cpu_s: float | None
    memory_peak_bytes: int | None


class TaskWithOutput(TaskFacts):
    """`output` are its bytes from `output_begins` to `output_ends`, as text; `output_more`: the next page is there."""

    output: str
    output_begins: int
    output_ends: int
    output_more: bool


class Tasks(TypedDict):
    tasks: list[TaskFacts]


class LastValue(TypedDict):
    key: str
    unit: str | None
    value: float | str | bool
    at_ms: int


class PendingPairing(TypedDict):
    address: str
    board: str
    seconds_left: float
