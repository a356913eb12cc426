"""The `microclaw` command: its tree, its global options, and how an error becomes a line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from microclaw import __version__
from microclaw.cli import (
    agent_commands,
    app_commands,
    approval_commands,
    config_commands,
    dev_commands,
    device_commands,
    discover_command,
    host_commands,
    mcp_commands,
    memory_commands,
    person_commands,
    program_commands,
    repl,
    schedule_commands,
    service_commands,
    session_commands,
    setup_commands,
    skill_commands,
    subagent_commands,
    token_commands,
    usage_commands,
    virtual_command,
)
from microclaw.cli.invocation import FAILED, INTERRUPTED, OK, USAGE, Invocation, hoist_globals
from microclaw.errors import MicroclawError

# About the machine they run on, whichever host is meant: said so where it is another machine's.
_ONLY_HERE = frozenset({"bench", "config", "demo", "mcp", "service", "setup", "up"})
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENXIO))

app = typer.Typer(
    name="microclaw",
    help="A sentence becomes a checked program that runs on the board.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help costs 80 ms
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"microclaw {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    device: Annotated[str | None, typer.Option("-d", "--device", metavar="NAME", help="The device to act on.")] = None,
    home: Annotated[Path | None, typer.Option("--home", metavar="DIR", help="The host's data folder.")] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="URL", help="A host elsewhere, by https, with the token in MICROCLAW_TOKEN."),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print answers only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks and more lines.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Ask nothing.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    words = ctx.obj or ()
    ctx.obj = Invocation(as_json, device, home, quiet, verbose, yes, no_color, host)
    if host == "local":
        os.environ.pop("MICROCLAW_HOST", None)  # for the processes that this one starts, too
    if ctx.invoked_subcommand in _ONLY_HERE and "--help" not in words and "-h" not in words:
        ctx.obj.only_here(f"microclaw {ctx.invoked_subcommand}")


for _part in (
    setup_commands,
    host_commands,
    service_commands,
    agent_commands,
    approval_commands,
    device_commands,
    discover_command,
    repl,
    program_commands,
    app_commands,
    memory_commands,
    session_commands,
    skill_commands,
    schedule_commands,
    subagent_commands,
    person_commands,
    token_commands,
    usage_commands,
    mcp_commands,
    config_commands,
    virtual_command,
    dev_commands,
):
    _part.register(app)


def main(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code; the entry point passes it to sys.exit."""
    _mend_closed_streams()
    try:
        return _run(arguments)
    except BrokenPipeError:
        return _reader_left()
    except OSError as exc:
        if not _output_is_refused(exc):
            raise
        return _output_refused(exc)


def _run(arguments: list[str] | None) -> int:
    words = hoist_globals(sys.argv[1:] if arguments is None else arguments)
    options = _guess_options(words)
    if "_MICROCLAW_COMPLETE" in os.environ:
        dev_commands.prepare_completion()
    try:
        code = app(args=words, prog_name="microclaw", standalone_mode=False, obj=tuple(words))
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except MicroclawError as exc:
        return _report(exc, options)
    except SystemExit as exc:
        if not isinstance(exc.__context__, BrokenPipeError):  # typer makes an exit code of it
            raise
        return _reader_left()
    except Exception as exc:
        if isinstance(exc, BrokenPipeError) or (isinstance(exc, OSError) and _output_is_refused(exc)):
            raise
        if hasattr(exc, "format_message"):  # a usage error of the option parser
            return _usage(exc, options)
        mismatch = _mismatch(exc, options)
        return _unexpected(exc, options) if mismatch is None else _report(mismatch, options)
    if code == INTERRUPTED:
        sys.stderr.write("interrupted\n")
    return code if isinstance(code, int) else OK


def _mismatch(error: Exception, options: Invocation) -> MicroclawError | None:
    """What an answer lacks that this version expects may be another version's way."""
    if not isinstance(error, LookupError | TypeError | ValueError | AttributeError):
        return None
    try:
        way = options.remote_way()
    except MicroclawError:
        return None  # nothing was asked of a host at an address
    return None if way is None else way.mismatch()


def _report(error: MicroclawError, options: Invocation) -> int:
    from microclaw.text import clean_text
    from microclaw.web.stream import failure_object, failure_of

    failure = getattr(error, "failure", None) or failure_of(error)
    if options.json:
        options.document("error", {"error": failure_object(failure)})
    sys.stderr.write(f"error: {clean_text(failure.message, one_line=True)}\n")
    for line in "\n".join(d["text"] for d in failure.diagnostics).splitlines():
        if line != failure.message:
            sys.stderr.write(clean_text(line) + "\n")
    if failure.next_step:
        sys.stderr.write(f"next: {clean_text(failure.next_step, one_line=True)}\n")
    if options.verbose:
        _traceback(error)
    return failure.exit_code or FAILED


def _mend_closed_streams() -> None:
    """Python has no stream at all where the caller closed it (`>&-`)."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  open as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  open as long as the process


def _reader_left() -> int:
    """The reader of our output (`| head`) has enough: not an error."""
    _drop_output()
    return OK


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
    """Not even the document of an error can be printed."""
    _drop_output()
    sys.stderr.write(
        f"error: standard output cannot be written: {error.strerror or error}\n"
        "next: free space there, or send the output elsewhere\n"
    )
    return FAILED


def _drop_output() -> None:
    """The interpreter would try again to write what is left, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: Exception, options: Invocation) -> int:
    format_message = getattr(error, "format_message", None)
    message = str(format_message()) if callable(format_message) else str(error)
    if message.startswith("Usage:"):  # a command group without a command shows its help
        sys.stderr.write(message + "\n")
        return USAGE
    from microclaw.cli.wrong_usage import wrong_usage

    message, next_step = wrong_usage(error)
    if options.json:
        from microclaw.web.stream import Failure, failure_object

        failure = Failure("usage", message, next_step, exit_code=USAGE)
        options.document("error", {"error": failure_object(failure)})
    sys.stderr.write(f"error: {message}\nnext: {next_step}\n")
    return USAGE


def _unexpected(error: Exception, options: Invocation) -> int:
    """A fault of ours: one line, and the traceback in the log or, with -v, here."""
    from microclaw.text import clean_text
    from microclaw.web.stream import Failure, failure_object

    message = clean_text(f"unexpected {type(error).__name__}: {error}", one_line=True)
    next_step = None if options.verbose else _logged(error, options)
    if options.json:
        failure = Failure("internal_error", message, next_step, exit_code=FAILED)
        options.document("error", {"error": failure_object(failure)})
    sys.stderr.write(f"error: {message}\n")
    if options.verbose:
        _traceback(error)
    else:
        sys.stderr.write(f"next: {next_step}\n")
    return FAILED


def _logged(error: Exception, options: Invocation) -> str:
    """Write the traceback into the home's log; where it is, or what to do when there is no log."""
    import traceback

    try:
        path = options.settings().log
        with os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "a") as log:
            traceback.print_exception(error, file=log)
    except (MicroclawError, OSError):
        return "run it again with -v and report the traceback"
    return f"the traceback is in {path}; report it"


def _traceback(error: BaseException) -> None:
    import traceback

    from microclaw.text import clean_text

    sys.stderr.write(clean_text("".join(traceback.format_exception(error)), mark="?"))


def _guess_options(words: list[str]) -> Invocation:
    """What matters when the command itself failed, known even where parsing did not get that far."""
    words = words[: words.index("--")] if "--" in words else words
    home = _value_of("--home", words)
    return Invocation(
        json="--json" in words,
        verbose="-v" in words or "--verbose" in words,
        home=None if home is None else Path(home),
        host_url=_value_of("--host", words),
    )


def _value_of(option: str, words: list[str]) -> str | None:
    found = next((after for word, after in pairwise(words) if word == option), None)
    return next((word.removeprefix(f"{option}=") for word in words if word.startswith(f"{option}=")), found)
