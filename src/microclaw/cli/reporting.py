"""Reports the error that ended a command line: as text, JSON and an exit code. It runs no command."""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
import traceback
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import typer
from msgspec.structs import replace

from microclaw.cli.options import FAILED, INTERRUPTED, GlobalOptions, NobodyToAsk
from microclaw.cli.tried_words import meant_by, meant_by_extra, meant_by_option
from microclaw.errors import MicroclawError
from microclaw.text import clean_text, code_lines
from microclaw.validation import validation_message
from microclaw.wire.host_api import Failure, failure_object, failure_of

USAGE: Final = 2
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENXIO))
_NO_COMMAND: Final = re.compile(r"No such command '(.*?)'\.")
_EXTRA: Final = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", re.DOTALL)
_NO_VALUE: Final = re.compile(r"Option '(\S+)' requires (?:an argument|\d+ arguments)\.")


def exit_code_for(error: BaseException, words: list[str]) -> int:
    """Print the error and return the exit code."""
    try:
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
            raise error.__context__  # typer makes an exit code of it
        if isinstance(error, OSError | SystemExit):
            raise error
        return _tell(error, _options_in(words))
    except BrokenPipeError:  # the reader of our output (`| head`) has enough: not an error
        _drop_output()
        return 0
    except OSError as exc:
        if _output_is_refused(exc):
            return _output_refused(exc)
        return _tell(exc, _options_in(words))


def wrong_usage(error: Any) -> tuple[str, str]:
    """A parser error of typer as plain words, with the next step."""
    context = getattr(error, "ctx", None)
    command = "microclaw" if context is None else str(context.command_path)
    next_step = error.next_step if isinstance(error, NobodyToAsk) else _meant(error, command) or f"{command} --help"
    return " ".join(_wrong_words(error, command).split()), next_step


def _meant(error: Any, command: str) -> str | None:
    """The next step for a word that people know from elsewhere."""
    if hasattr(error, "option_name"):
        return meant_by_option(str(error.option_name), command)
    message = str(error.format_message())
    if (found := _unknown_command(message)) is not None:
        return meant_by(found, command, getattr(getattr(error.ctx, "command", None), "commands", {}))
    return meant_by_extra(command) if _EXTRA.fullmatch(message) else None


def _unknown_command(message: str) -> str | None:
    found = _NO_COMMAND.fullmatch(message.partition(" Did you mean")[0])
    return None if found is None else found[1]


def _tell(error: BaseException, options: GlobalOptions) -> int:
    if isinstance(error, typer.Abort | KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    if hasattr(error, "format_message"):  # a usage error of the option parser
        message = str(error.format_message())
        if message.startswith("Usage:"):  # a command group without a command shows its help
            sys.stderr.write(message + "\n")
            return USAGE
        return _show(options, Failure("usage", *wrong_usage(error), exit_code=USAGE))
    known = error if isinstance(error, MicroclawError) else _mismatch(error, options)
    if known is not None:
        failure = getattr(known, "failure", None) or failure_of(known)
    else:  # a fault of ours: one line, and the traceback in the log or, with -v, here
        next_step = None if options.verbose else _logged(error, options)
        message = clean_text(f"unexpected {type(error).__name__}: {error}", one_line=True)
        failure = Failure("internal_error", message, next_step, exit_code=FAILED)
    code = _show(options, failure)
    if options.verbose:
        sys.stderr.write(clean_text("".join(traceback.format_exception(known or error)), mark="?"))
    return code


def _show(options: GlobalOptions, failure: Failure) -> int:
    if failure.next_step:
        failure = replace(failure, next_step=options.with_home(failure.next_step))
    if options.json:
        options.document("error", {"error": failure_object(failure)})
    sys.stderr.write(f"error: {clean_text(failure.message, one_line=True)}\n")
    for line in code_lines("\n".join(d["text"] for d in failure.diagnostics)):
        if line != failure.message:
            sys.stderr.write(clean_text(line) + "\n")
    if failure.next_step:
        sys.stderr.write(f"next: {clean_text(failure.next_step, one_line=True)}\n")
    return failure.exit_code or FAILED


def _mismatch(error: BaseException, options: GlobalOptions) -> MicroclawError | None:
    """A missing field in an answer may mean that the host has another version."""
    if not isinstance(error, LookupError | TypeError | ValueError | AttributeError):
        return None
    try:
        endpoint = options.remote_endpoint()
    except MicroclawError:
        return None  # nothing was asked of a host at an address
    return None if endpoint is None else endpoint.mismatch()


def _logged(error: BaseException, options: GlobalOptions) -> str:
    """Write the traceback into the home's log; where it is, or what to do when there is no log."""
    try:
        path = options.settings().log
        with os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a") as log:
            traceback.print_exception(error, file=log)
    except (MicroclawError, OSError):
        return "run it again with -v and report the traceback"
    return f"the traceback is in {path}; report it"


def _options_in(words: list[str]) -> GlobalOptions:
    """What matters when the command itself failed, known even where parsing did not get that far."""
    words = words[: words.index("--")] if "--" in words else words
    home = _value_of("--home", words)
    return GlobalOptions(
        json="--json" in words,
        verbose="-v" in words or "--verbose" in words,
        home=None if home is None else Path(home),
        host_url=_value_of("--host", words),
    )


def _value_of(option: str, words: list[str]) -> str | None:
    found = next((after for word, after in pairwise(words) if word == option), None)
    return next((word.removeprefix(f"{option}=") for word in words if word.startswith(f"{option}=")), found)


def _output_is_refused(error: OSError) -> bool:
    """Whether it was our own output that could not be written (a full disk, a device that is gone).

    Python keeps nothing of what an unbuffered stream refused, so only writing again tells: an empty line, which no
    reader of text or JSON minds.
    """
    if error.errno not in _FULL or error.filename is not None:
        return False
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _output_refused(error: OSError) -> int:
    """Even the error's document cannot be printed."""
    _drop_output()
    sys.stderr.write(
        f"error: standard output cannot be written: {error.strerror or error}\n"
        "next: free space there, or send the output elsewhere\n"
    )
    return FAILED


def _drop_output() -> None:
    """The interpreter would try again to write what is left, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wrong_words(error: Any, command: str) -> str:
    message = str(error.format_message())
    if hasattr(error, "param_type"):  # MissingParameter
        return f"{command} needs {_place(error)}"
    if hasattr(error, "param_hint"):  # BadParameter
        return _bad_value(error)
    if hasattr(error, "possibilities") and hasattr(error, "option_name"):
        return f"{command} has no option {error.option_name}{_near(error.option_name, error.possibilities or ())}"
    if (word := _unknown_command(message)) is not None:
        known = getattr(getattr(error.ctx, "command", None), "commands", {})
        near = "" if meant_by(word, command, known) else _near(word, known)  # what is meant is the next step
        return f"{command} has no command {word!r}{near}"
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
        return validation_message(place or "the value", next(iter(faults())))
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
