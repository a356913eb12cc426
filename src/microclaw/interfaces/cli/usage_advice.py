"""The next step for a command line that cannot be read: a line to paste, from what was typed. It runs no command."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import Final

import click

from microclaw.interfaces.cli.main import COMMANDS, EXAMPLES, app, load_command
from microclaw.interfaces.cli.no_program import PROGRAM_SUFFIXES
from microclaw.interfaces.cli.typed_words import (
    LISTED,
    LISTS,
    NAMED_NEWLY,
    ONE_TEXT,
    SAME_COMMANDS,
    SAME_GLOBAL_OPTIONS,
    SAME_OPTIONS,
    TYPED_COMMANDS,
)

_REST: Final = "..."
_DEVICE: Final = "DEVICE"
# "statsu" is alike "status"; "open" is not alike "person".
_ALIKE: Final = 0.7
_MAX_GUESSES: Final = 3
_MIN_SENTENCE_WORDS: Final = 2


def usage_step(error: click.ClickException, words: Sequence[str]) -> str:
    """Return what a person can do about a command line that click refused; `words` is what was typed."""
    context = getattr(error, "ctx", None)
    if not isinstance(error, click.UsageError) or context is None:
        return "microclaw --help"
    lines: list[str] = []
    if isinstance(error, click.exceptions.NoSuchCommand):
        lines = _meant_commands(context, error.command_name, words)
    elif isinstance(error, click.NoSuchOption):
        lines = _meant_options(context, error.option_name, words)
    if lines:
        return f"did you mean: {'; or: '.join(lines)}"
    if isinstance(context.command, click.Group):
        return _group_step(context)
    return _form_step(error, context, words)


def _group_step(context: click.Context) -> str:
    """Return the commands of a group; those of microclaw itself are too many for a line."""
    if context.parent is None:
        return "microclaw --help"
    names = ", ".join(sorted(_command_names(context.command)))
    return f"{context.command_path} has: {names}; {context.command_path} --help"


def meant_lines(path: str, typed: str, rest: Sequence[str]) -> list[str]:
    """Return the lines that a table has for a word at the place of a command; `path` is its group, or ""."""
    templates = TYPED_COMMANDS.get(f"{path} {typed}".strip(), ())
    with_rest = []
    alone = []
    for template in templates:
        if _REST in template:
            with_rest.append(_filled(template, rest))
        else:
            alone.append(_line([*template.split(), *rest]))
    is_named = bool(rest) and not rest[0].startswith("-")
    if is_named or not alone:
        return with_rest
    return alone


def _meant_commands(context: click.Context, typed: str, words: Sequence[str]) -> list[str]:
    """Return the lines that a person may have meant by a word that is no command here."""
    path = context.command_path.partition(" ")[2]
    front_length = _length_of_globals(words)
    rest = words[front_length + len(path.split()) + 1 :]
    lines = meant_lines(path, typed, rest) or _near_lines(context.command, path, typed, rest)
    if not path:
        lines = lines or _lines_of_groups(typed, rest) or _sentence_lines([typed, *rest])
    start = _line(words[:front_length])
    lines = [line.replace("microclaw", start, 1) for line in lines]
    devices = context.find_root().params.get("devices", ())
    if len(devices) == 1:
        lines = [line.replace(_DEVICE, shlex.quote(devices[0]), 1) for line in lines]
    return lines


def _near_lines(command: click.Command, path: str, typed: str, rest: Sequence[str]) -> list[str]:
    """Return the line of a command of this group that is called so elsewhere, or is written nearly so."""
    if not path and PurePath(typed).suffix in PROGRAM_SUFFIXES:
        return [_line(["run", typed, *rest])]
    known = _command_names(command)
    names = _same_names(typed, known) or get_close_matches(typed, known, 1, _ALIKE)
    if names:
        return [_filled(f"{path} {names[0]} ...".strip(), rest)]
    if path and typed in COMMANDS:
        return [_filled(f"{typed} ...", rest)]
    return []


def _sentence_lines(sentence: Sequence[str]) -> list[str]:
    """Return the line that says this in the chat, if it may be a sentence."""
    text = " ".join(sentence)
    if len(text.split()) < _MIN_SENTENCE_WORDS or _has_option(sentence):
        return []
    return [_line(["chat", text])]


def _length_of_globals(words: Sequence[str]) -> int:
    """Return how many words the global options take, which stand in front."""
    flags = set[str]()
    for param in app.params:
        if isinstance(param, click.Option) and param.is_flag:
            flags |= set(param.opts)
    length = 0
    while length < len(words) and words[length].startswith("-"):
        has_value = words[length] not in flags and "=" not in words[length]
        length += 1
        if has_value:
            length += 1
    return length


def _command_names(command: click.Command) -> list[str]:
    if isinstance(command, click.Group):
        return list(command.commands)
    return []


def _same_names(typed: str, known: Iterable[str]) -> list[str]:
    """Return the commands that people call by this word, the nearest first."""
    names = set(known)
    for row in SAME_COMMANDS:
        if typed in row:
            same = [name for name in row if name in names]
            if same:
                return same
    return []


def _lines_of_groups(typed: str, rest: Sequence[str]) -> list[str]:
    """Return the lines for a command that was typed without its group."""
    lines = []
    for name in app.commands:
        command = load_command(name)
        if isinstance(command, click.Group) and typed in command.commands:
            lines.append(_filled(f"{name} {typed} ...", rest))
    return lines[:_MAX_GUESSES]


def _meant_options(context: click.Context, typed: str, words: Sequence[str]) -> list[str]:
    """Return the line with the option that a person may have meant by one that the command does not have."""
    if context.parent is None:
        lines = _moved_behind(words, typed)
        if lines:
            return lines
    options = _option_words(context.command)
    option = _option_meant(typed, options)
    if option is not None:
        return [_line(_with_option(words, typed, option))]
    if "--set" in options and typed.startswith("--"):
        return [_line(_with_value_set(words, typed))]
    return []


def _option_meant(typed: str, options: Sequence[str]) -> str | None:
    for row in SAME_OPTIONS:
        if typed in row:
            for option in row:
                if option in options:
                    return option
    # Of a slip of the keyboard the first letter is right: "--pin" is not "--in".
    start = typed.lstrip("-")[:1]
    alike = [option for option in options if option.lstrip("-")[:1] == start]
    near = get_close_matches(typed, alike, 1)
    if near:
        return near[0]
    return SAME_GLOBAL_OPTIONS.get(typed)


def _option_words(command: click.Command) -> list[str]:
    options = ["--help"]
    for param in command.params:
        if isinstance(param, click.Option):
            options += param.opts
    return options


def _with_option(words: Sequence[str], typed: str, option: str) -> list[str]:
    """Return the words with another option at the place of the typed one, whose value stays."""
    line = []
    for word in words:
        name, equals, value = word.partition("=")
        if name != typed:
            line.append(word)
        elif option.startswith("--"):
            line.append(f"{option}{equals}{value}")
        else:
            line += [option, value] if equals else [option]
    return line


def _with_value_set(words: Sequence[str], typed: str) -> list[str]:
    """Return the words with `--set pin=7` for `--pin 7`."""
    line = []
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name != typed:
            line.append(word)
            continue
        if not equals:
            value = next(remaining, "VALUE")
        line += ["--set", f"{typed.lstrip('-')}={value}"]
    return line


def _moved_behind(words: Sequence[str], typed: str) -> list[str]:
    """Return the line with an option behind the command that has it."""
    for place, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if name != typed:
            continue
        for length in (1, 2):
            moved = [*words[:place], *words[place + length :], *words[place : place + length]]
            command = _command_of(moved[place:])
            if command is None:
                continue
            for param in command.params:
                takes_value = isinstance(param, click.Option) and not param.is_flag and not equals
                if typed in param.opts and takes_value == (length == 2):
                    return [_line(moved)]
    return []


def _command_of(words: Sequence[str]) -> click.Command | None:
    """Return the command that a line begins with, or None."""
    if not words or words[0] not in app.commands:
        return None
    command = load_command(words[0])
    if isinstance(command, click.Group):
        if len(words) == 1:
            return command
        return command.commands.get(words[1])
    return command


def _form_step(error: click.UsageError, context: click.Context, words: Sequence[str]) -> str:
    """Return how a line of a command is written, if its words are known and its values are not."""
    path = context.command_path.partition(" ")[2]
    steps = []
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument):
        steps.append(f"write {_line(words, _missing_words(context, error.param))}")
        listing = LISTS.get(path) or LISTS.get(path.partition(" ")[0])
        is_listed = error.param.make_metavar(context) in LISTED and path not in NAMED_NEWLY
        if listing and is_listed:
            start = _line(words[: _length_of_globals(words)]).rstrip()
            steps.append(f"what there is: {start} {listing}")
    elif isinstance(error, click.BadParameter) and isinstance(error.param, click.Option):
        steps.append(_option_form(error.param, context))
    elif isinstance(error, click.BadParameter) and isinstance(error.param, click.Argument):
        steps.append(f"write {_form(context)}")
    elif isinstance(error, click.NoSuchOption):
        steps.append(f"its options: {', '.join(_option_words(context.command))}")
    elif "extra argument" in error.message:
        steps.append(f"write {_with_one_text(context, words)}")
    example = _example(path, error)
    if example:
        steps.append(f"as in: microclaw {example}")
    steps.append(f"{context.command_path} --help")
    return "; ".join(steps)


def _missing_words(context: click.Context, missing: click.Parameter) -> list[str]:
    """Return the names of the arguments that a line must still have."""
    params = context.command.params
    later = params[params.index(missing) :]
    return [param.make_metavar(context) for param in later if isinstance(param, click.Argument) and param.required]


def _option_form(option: click.Option, context: click.Context) -> str:
    form = max(option.opts, key=len)
    if not option.is_flag:
        form += f" {option.make_metavar(context)}"
    about = (option.help or "").rstrip(".")
    if about:
        form += f" ({about})"
    return f"write {form}"


def _with_one_text(context: click.Context, words: Sequence[str]) -> str:
    """Return the line in quotes, if its last argument is a text; else the form of the line."""
    forms = _argument_forms(context)
    path = context.command_path.split()[1:]
    if not forms or forms[-1].strip("[]") not in ONE_TEXT or _has_option(words):
        return _form(context)
    before = len(path) + len(forms) - 1
    return _line([*words[:before], " ".join(words[before:])])


def _form(context: click.Context) -> str:
    """Return how a command is written with its arguments."""
    return " ".join([context.command_path, *_argument_forms(context)])


def _argument_forms(context: click.Context) -> list[str]:
    arguments = [param for param in context.command.params if isinstance(param, click.Argument)]
    return [argument.make_metavar(context) for argument in arguments]


def _example(path: str, error: click.UsageError) -> str:
    """Return an example of this command, with the option that is wrong if there is one; "" if there is none."""
    examples = (*EXAMPLES.get(path, ()), *EXAMPLES.get(path.partition(" ")[0], ()))
    option = ""
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Option):
        option = max(error.param.opts, key=len)
    for example in examples:
        if f"{example} ".startswith(f"{path} ") and option in example and "\n" not in example:
            return example
    return ""


def _filled(template: str, rest: Sequence[str]) -> str:
    """Return the line of a template with the rest of what was typed; without one, with what the command needs."""
    before, quote, text = template.partition('"')
    if quote:
        text = text.rstrip('"').replace(_REST, " ".join(rest) or _REST)
        return f"microclaw {before}{shlex.quote(text)}"
    words = template.split()
    if words[-1] != _REST and words[-1].endswith(_REST):
        # A name that needs another in front of it: "DEVICE/blink".
        name, *others = rest or ["NAME"]
        return _line([*words[:-1], words[-1].replace(_REST, name), *others])
    place = words.index(_REST)
    behind = words[place + 1 :]
    if rest:
        return _line([*words[:place], *rest, *behind])
    return _line(words[:place], [*_needed_words(words[:place], behind), *behind])


def _needed_words(command_words: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the names of the arguments that a command needs beside the last ones, which are given."""
    command = _command_of(command_words)
    if command is None:
        return []
    needed = []
    for param in command.params:
        if isinstance(param, click.Argument) and param.required:
            needed.append(param.make_metavar(click.Context(command)))
    given_count = len([word for word in given if not word.startswith("-")])
    return needed[: len(needed) - given_count]


def _has_option(words: Iterable[str]) -> bool:
    return any(word.startswith("-") for word in words)


def _line(words: Sequence[str], forms: Sequence[str] = ()) -> str:
    """Return a command line to paste, with the names of what is still to be written behind it."""
    return " ".join(["microclaw", *map(shlex.quote, words), *forms])
