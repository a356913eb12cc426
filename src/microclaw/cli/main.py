"""The `microclaw` command: the table of commands, imported when they are called, and the global options."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from microclaw import __version__
from microclaw.cli.examples import add_examples
from microclaw.operations.nouns import MODULES

# Each command's help, and what it is: a function, a typer.Typer with commands of its own, or declared acts.
DECLARED: Final = ""
COMMANDS: Final = {
    "demo": ("demo:demo", "See it work on a virtual board."),
    "setup": ("setup_commands:setup", "Set up models, Telegram and search."),
    "up": ("host_commands:up", "Run the host in the foreground; Ctrl-C stops it."),
    "status": ("host_commands:status", "What the host is doing: model, devices, programs."),
    "doctor": ("doctor:doctor", "Check what microclaw needs here."),
    "flash": ("flash_command:flash", "Put our firmware on a board, pair it, give it Wi-Fi."),
    "device": ("device_commands:device_group", "The devices this host knows."),
    "exec": ("call_commands:execute", "Call one method of a device, or of several."),
    "logs": ("log_command:logs", "Show what a device's programs print."),
    "virtual": ("virtual_command:virtual", "Run a virtual ESP32-S3; Ctrl-C ends it."),
    "fleet": ("fleet_commands:fleet_group", "What runs on many devices, as a file: diff, apply, export."),
    "firmware": ("firmware_commands:firmware_group", "Signed updates of boards: keys, releases, offers, rollouts."),
    "run": ("programs:run", "Build, check, try, install and verify a program."),
    "app": ("app_commands:app_group", "Programs: yours and ready ones; list, change, undo."),
    "task": ("task_commands:task_group", "Code in the sandbox, its secrets and network; subagents."),
    "schedule": (DECLARED, "What is done later, at times of day."),
    "chat": ("chat_commands:chat", "Talk to the agent."),
    "approval": (DECLARED, "Acts that wait for a yes or a no."),
    "memory": ("memory_commands:memory_group", "What the agent remembers: notes, conversations, skills."),
    "voice": ("voice_setup:voice_group", "Speech with devices: set up, test, trace."),
    "mcp": ("mcp_commands:mcp_group", "Drive the boards from an assistant over MCP."),
    "config": ("config_commands:config_group", "The host's settings."),
    "backup": ("backup_commands:backup_group", "All of this host as one encrypted file, and back."),
    "person": ("sign_in_commands:person_group", "People, tokens, browsers, and the security log."),
}
# The sections of `microclaw --help`.
GROUPS: Final = {
    "Start": "demo setup up status doctor",
    "Boards": "flash device exec logs virtual fleet firmware",
    "Programs": "run app task schedule",
    "Talk": "chat approval memory voice mcp",
    "Host": "config backup person",
}
_EXAMPLES: Final = (
    ("microclaw demo", "one sentence becomes a program"),
    ("microclaw up --virtual 1", "a host with a virtual board"),
    ('microclaw chat "blink the LED"', "in another terminal"),
    ("microclaw run blink.c -d kitchen", "your own program"),
    ("microclaw app undo", "take the last change back"),
)

# About the machine they run on, not about another host: refused when --host names one.
_ONLY_HERE: Final = frozenset({"backup", "config", "demo", "mcp", "setup", "up"})
_COMPLETE_VARIABLE: Final = "_MICROCLAW_COMPLETE"
_FLAGS: Final = frozenset({"--json", "-q", "--quiet", "-v", "--verbose", "--yes", "-y", "--no-color"})
_VALUES: Final = frozenset({"-d", "--device", "-l", "--label", "--home", "--host"})
_WITH_VALUE: Final = ("--device=", "--label=", "--home=", "--host=")
_EVERY: Final = "--all"  # of `config get` it is an option of its own


class LazyGroup(TyperGroup):
    """The commands of the table, known by their help alone until one is called."""

    def __init__(self, *, commands: dict[str, Any], **settings: Any) -> None:
        listed = {name: TyperCommand(name, help=about) for name, (_, about) in COMMANDS.items()}
        super().__init__(commands={**listed, **commands}, **settings)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """For the shell's completion the words come as they were typed: the global options are moved here."""
        if extra.get("resilient_parsing"):
            front, rest = _split_globals(args)
            args = front if rest and rest[-1] in _VALUES else front + rest  # its value is what is typed now
        return super().make_context(info_name, args, parent, **extra)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the parser gives it
        column = max(map(len, COMMANDS))  # the same in every section
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{column}}", COMMANDS[name][1]) for name in names.split()])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  the parser gives it
        with formatter.section("Examples"):
            formatter.write_dl(_EXAMPLES, col_max=40)
        formatter.write_paragraph()
        formatter.write_text("More of a command, with examples: microclaw COMMAND --help")

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest


def load_command(name: str) -> Any:
    """A command of the table, imported."""
    place, about = COMMANDS[name]
    module, _, attribute = place.partition(":")
    found: Any = getattr(import_module(f"microclaw.cli.{module}"), attribute) if module else None
    if name in MODULES:
        found = import_module("microclaw.cli.operation_commands").group(name, found)
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
    else:
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(found)
        command = typer.main.get_command(alone)
    if isinstance(command, TyperGroup):
        command.name, command.help = name, about
    add_examples(name, command)
    return command


app = typer.Typer(
    name="microclaw",
    cls=LazyGroup,
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


def _show_completion(shell: str | None) -> None:
    if shell is not None:
        from typer import completion  # only when it is asked for

        script = completion.get_completion_script(  # type: ignore[attr-defined]  # typer re-exports it unsaid
            prog_name="microclaw", complete_var=_COMPLETE_VARIABLE, shell=shell
        )
        typer.echo(script)
        raise typer.Exit


@app.callback()
def _global_options(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    devices: Annotated[
        list[str] | None,
        typer.Option("-d", "--device", metavar="NAME", help="The device to act on; again for more."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("-l", "--label", metavar="LABEL", help="The devices with this label."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All devices.")] = False,
    home: Annotated[Path | None, typer.Option("--home", metavar="DIR", help="The host's data folder.")] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="URL", help="A host elsewhere, by https, with the token in MICROCLAW_TOKEN."),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print answers only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks and more lines.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Ask nothing.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour.")] = False,
    _completion: Annotated[
        Literal["bash", "zsh", "fish"] | None,
        typer.Option("--completion", callback=_show_completion, is_eager=True, help="Print a shell's completion."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    from microclaw.cli.options import GlobalOptions  # `--help` does not come here, and is quick without it

    words = ctx.obj or ()
    chosen, meant = tuple(devices or ()), tuple(labels or ())
    ctx.obj = GlobalOptions(as_json, chosen, home, quiet, verbose, yes, no_color, host, meant, every)
    if host == "local":
        os.environ.pop("MICROCLAW_HOST", None)  # for the processes that this one starts, too
    if ctx.invoked_subcommand in _ONLY_HERE and "--help" not in words and "-h" not in words:
        ctx.obj.only_here(f"microclaw {ctx.invoked_subcommand}")


def main(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code; the entry point passes it to sys.exit."""
    _mend_streams()
    words = hoist_globals(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except (Exception, SystemExit, KeyboardInterrupt) as exc:
        from microclaw.cli.reporting import exit_code_for  # what only a command line that fails needs

        return exit_code_for(exc, words)


def _run(words: list[str]) -> int:
    if _COMPLETE_VARIABLE in os.environ:
        from typer import completion  # only when a shell asks

        completion.completion_init()  # type: ignore[attr-defined]  # typer re-exports it without saying so
    code = app(args=words, prog_name="microclaw", standalone_mode=False, obj=tuple(words))
    sys.stdout.flush()
    if code == 130:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def hoist_globals(arguments: Sequence[str]) -> list[str]:
    """Global options may stand anywhere on the line: move them in front of the command. `--` ends the options."""
    front, rest = _split_globals(arguments)
    return front + rest


def _split_globals(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The global options with their values, and the other words."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif (word == _EVERY and rest[:1] != ["config"]) or word in _FLAGS or word.startswith(_WITH_VALUE):
            front.append(word)
        elif word in _VALUES and (value := next(words, None)) is not None:
            front += [word, value]
        else:
            rest.append(word)
    return front, rest


def _mend_streams() -> None:
    """Python has no stream where the caller closed it (`>&-`): use the null device. A letter that the locale lacks is
    written as "?"; it would end the command.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  open as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
