"""The forms of answers about tasks, devices, apps and changes, for the OpenAPI document.

A field may be added to any of them: a client leaves alone what it does not know.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

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
