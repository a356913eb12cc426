"""Reports the error that ended a command line: as text, JSON and an exit code. It runs no command."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Final

import click
from msgspec.structs import replace

from microclaw.cli.main import app
from microclaw.cli.options import FAILED, INTERRUPTED, GlobalOptions
from microclaw.errors import MicroclawError
from microclaw.text import clean_text, code_lines
from microclaw.wire.host_api import Failure, failure_object, failure_of

USAGE: Final = 2
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENXIO))


def exit_code_for(error: BaseException, words: list[str]) -> int:
    """Print the error and return the exit code."""
    try:
        if isinstance(error, OSError | SystemExit):
            raise error
        return _tell(error, _options_in(words))
    except BrokenPipeError:  # the reader of our output (`| head`) has enough: not an error
        _drop_output()
        return 0
    except OSError as exc:
        if not _output_is_refused(exc):
            return _tell(exc, _options_in(words))
        _drop_output()  # even the error's document cannot be printed
        sys.stderr.write(f"error: the output cannot be written: {exc.strerror or exc}\n")
        sys.stderr.write("next: free space there, or send the output elsewhere\n")
        return FAILED


def _tell(error: BaseException, options: GlobalOptions) -> int:
    if isinstance(error, click.Abort | KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # a command group without a command shows its help
        sys.stderr.write(error.format_message() + "\n")
        return USAGE
    if isinstance(error, click.ClickException):
        command = getattr(getattr(error, "ctx", None), "command_path", "microclaw")
        text = " ".join(error.format_message().split())
        return _show(options, Failure("usage", text, f"{command} --help", exit_code=USAGE))
    if isinstance(error, MicroclawError):
        failure = getattr(error, "failure", None) or failure_of(error)
    else:  # a fault of ours
        message = clean_text(f"unexpected {type(error).__name__}: {error}", one_line=True)
        failure = Failure("internal_error", message, "report it with the lines below", exit_code=FAILED)
    code = _show(options, failure)
    if options.verbose or not isinstance(error, MicroclawError):
        sys.stderr.write(clean_text("".join(traceback.format_exception(error)), mark="?"))
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


def _options_in(words: list[str]) -> GlobalOptions:
    """The options that matter when the command itself failed, known even where parsing did not get that far."""
    found = app.make_context("microclaw", list(words), resilient_parsing=True).params
    return GlobalOptions(found["json"], home=found["home"], verbose=found["verbose"], host_url=found["host"])


def _output_is_refused(error: OSError) -> bool:
    """True if it was our own output that could not be written (a full disk, a device that is gone).

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


def _drop_output() -> None:
    """The interpreter would try again to write what is left, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
