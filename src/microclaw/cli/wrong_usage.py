"""A command line that cannot be read, told in plain words, not in the option parser's. Parses nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final

from microclaw.api.faults import fault_text

_NO_COMMAND: Final = re.compile(r"No such command '(.*?)'\.")
_EXTRA: Final = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", re.DOTALL)
_NO_VALUE: Final = re.compile(r"Option '(\S+)' requires (?:an argument|\d+ arguments)\.")


def wrong_usage(error: Any) -> tuple[str, str]:
    """What is wrong and what to do, of an error of typer's parser."""
    context = getattr(error, "ctx", None)
    command = "microclaw" if context is None else str(context.command_path)
    told = " ".join(_told(error, command).split())
    return told, f"{command} --help"


def _told(error: Any, command: str) -> str:
    message = str(error.format_message())
    if hasattr(error, "param_type"):  # MissingParameter
        return f"{command} needs {_place(error)}"
    if hasattr(error, "param_hint"):  # BadParameter
        return _bad_value(error)
    if hasattr(error, "possibilities") and hasattr(error, "option_name"):
        return f"{command} has no option {error.option_name}{_near(error.option_name, error.possibilities or ())}"
    if (found := _NO_COMMAND.fullmatch(message.partition(" Did you mean")[0])) is not None:
        known = getattr(getattr(error.ctx, "command", None), "commands", {})
        return f"{command} has no command {found[1]!r}{_near(found[1], known)}"
    if (found := _EXTRA.fullmatch(message)) is not None:
        return f"{command} has no place for {found[1]!r}"
    if (found := _NO_VALUE.fullmatch(message)) is not None:
        return f"{found[1]} needs a value"
    return message


def _bad_value(error: Any) -> str:
    """A value of the wrong kind, as the parser's own checks or one of our commands found it."""
    place = _place(error)
    faults = getattr(error.__cause__, "errors", None)
    if callable(faults):
        return fault_text(place or "the value", next(iter(faults())))
    return f"{place}: {error.message}" if place else str(error.message)


def _place(error: Any) -> str:
    """The option's long name, or the argument as the command's help names it."""
    if error.param_hint is not None:
        hint = error.param_hint
        return hint if isinstance(hint, str) else " / ".join(hint)
    param = error.param
    if param is None:
        return ""
    if param.param_type_name == "option":
        return str(max(param.opts, key=len))
    return str(param.metavar or param.name.upper().replace("_", "-")).removesuffix("...")


def _near(word: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(word, list(known), n=2)
    return f": did you mean {' or '.join(found)}?" if found else ""
