"""Reports the error that ended a command line: as text, JSON and an exit code. Runs no command."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

import click
from msgspec.structs import replace

from microclaw.errors import ConfigError, MicroclawError
from microclaw.interfaces.cli.options import FAILED, INTERRUPTED, GlobalOptions
from microclaw.text import clean_text, code_lines
from microclaw.wire.host_api import StreamFailure, failure_object, failure_of

USAGE: Final = 2
_WRITE_ERRORS: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENXIO))


def exit_code_for(error: BaseException, options: GlobalOptions, words: Sequence[str] = ()) -> int:
    """Print the error of a command line as the options say, and return the exit code."""
    try:
        if isinstance(error, OSError | SystemExit):
            raise error
        return _print_error(error, options, words)
    # The reader of our output (`| head`) ended because it has enough: that is not an error.
    except BrokenPipeError:
        _drop_output()
        return 0
    except OSError as exc:
        if not _is_output_refused(exc):
            return _print_error(exc, options, words)
        # Even the error's JSON document cannot be printed.
        _drop_output()
        sys.stderr.write(f"error: the output cannot be written: {exc.strerror or exc}\n")
        sys.stderr.write("next: free space there, or send the output elsewhere\n")
        return FAILED


def _print_error(error: BaseException, options: GlobalOptions, words: Sequence[str]) -> int:
    """Print any error that is not about our output. Return its exit code."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    # A command group without a command shows its help.
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        sys.stderr.write(error.format_message() + "\n")
        return USAGE
    if isinstance(error, click.ClickException):
        return _print_failure(options, _usage_failure(error, words))
    if isinstance(error, PermissionError) and error.filename is not None:
        # A path that a person named, in a folder that this user cannot enter.
        text = f"cannot use {os.fsdecode(error.filename)}: {error.strerror}"
        error = ConfigError(text, next_step="name another, or use the account that owns it")
    if isinstance(error, MicroclawError):
        failure = getattr(error, "failure", None) or failure_of(error)
    else:
        message = clean_text(f"unexpected {type(error).__name__}: {error}", one_line=True)
        failure = StreamFailure("internal_error", message, "report it with the lines below", exit_code=FAILED)
    code = _print_failure(options, failure)
    if options.verbose or not isinstance(error, MicroclawError):
        sys.stderr.write(clean_text("".join(traceback.format_exception(error)), mark="?"))
    return code


def _usage_failure(error: click.ClickException, words: Sequence[str]) -> StreamFailure:
    # Imported here, because it imports commands, and most errors are not of usage.
    from microclaw.interfaces.cli.usage_advice import usage_step

    message = error.format_message()
    # What click guesses does not know the words of other tools; the next step does.
    if isinstance(error, click.exceptions.NoSuchCommand | click.NoSuchOption):
        message = error.message
    return StreamFailure("usage", " ".join(message.split()), usage_step(error, words), exit_code=USAGE)


def _print_failure(options: GlobalOptions, failure: StreamFailure) -> int:
    if failure.next_step:
        failure = replace(failure, next_step=options.with_home(failure.next_step))
    if options.json:
        options.document("error", {"error": failure_object(failure)})
    sys.stderr.write(f"error: {clean_text(failure.message, one_line=True)}\n")
    diagnostics = "\n".join(diagnostic["text"] for diagnostic in failure.diagnostics)
    for line in code_lines(diagnostics):
        if line != failure.message:
            sys.stderr.write(clean_text(line) + "\n")
    if failure.next_step:
        sys.stderr.write(f"next: {clean_text(failure.next_step, one_line=True)}\n")
    return failure.exit_code or FAILED


def _is_output_refused(error: OSError) -> bool:
    """Return True if our own output could not be written (the disk is full, the device is unplugged).

    Python does not keep the bytes that an unbuffered stream refused, so the only test is to write again: an empty line,
    which no reader of text or JSON minds.
    """
    if error.errno not in _WRITE_ERRORS or error.filename is not None:
        return False
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _drop_output() -> None:
    """Redirect stdout to the null device: the interpreter would try to write the rest again, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
