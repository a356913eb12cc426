"""The parameters of an act as click's arguments and options. It runs nothing."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click
import msgspec
from msgspec import UNSET

from microclaw.host.operations.operation import Parameter


def build_parameter(name: str, parameter: Parameter, *, is_needed: bool) -> click.Parameter:
    """Build click's argument or option. Required parameters are arguments; the act itself checks bounds."""
    option = parameter.option
    is_argument = option.argument or (is_required(parameter) and not option.flag)
    if option.rest or is_argument:
        return _build_argument(name, parameter, is_needed=is_needed)
    words = option.flag or f"--{parameter.name.replace('_', '-')}"
    click_type = _click_type(parameter)
    if click_type is bool:
        form: dict[str, Any] = {"is_flag": True}
    else:
        form = {"multiple": is_list(parameter), "metavar": option.metavar}
    return click.Option(
        [*words.split("/"), name],
        type=click_type,
        default=_shown_default(parameter),
        help=parameter.meta.description,
        **form,
    )


def _build_argument(name: str, parameter: Parameter, *, is_needed: bool) -> click.Argument:
    option = parameter.option
    # No words at all are an empty list, so click must not require one.
    if option.rest and is_list(parameter):
        is_needed = False
    metavar = option.metavar or parameter.name.upper()
    if not is_needed and not metavar.startswith("["):
        metavar = f"[{metavar}]"
    form: dict[str, Any] = {}
    # Click would take None as the value of a required argument.
    if not is_needed:
        form["default"] = _shown_default(parameter)
    return click.Argument(
        [name],
        is_needed,
        parameter.meta.description,
        metavar=metavar,
        type=_click_type(parameter),
        nargs=-1 if option.rest else 1,
        **form,
    )


def _shown_default(parameter: Parameter) -> Any:
    """Return the default that help shows, or None."""
    option = parameter.option
    has_many = is_list(parameter) or option.rest
    is_computed = option.reads is not None or parameter.default is UNSET
    if has_many or is_computed or is_required(parameter):
        return None
    return parameter.default


def _click_type(parameter: Parameter) -> Any:
    """Return the type by which click converts a word: a function, a choice or a Python type."""
    kind = kind_of(parameter)
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if parameter.option.reads is not None:
        return parameter.option.reads
    if get_origin(kind) is list:
        return _without_metadata(get_args(kind)[0])
    if parameter.option.rest:
        return str
    return kind


def is_list(parameter: Parameter) -> bool:
    return get_origin(kind_of(parameter)) is list


def is_required(parameter: Parameter) -> bool:
    return parameter.default is msgspec.NODEFAULT or (parameter.option.rest and parameter.default is None)


def is_device_option(parameter: Parameter) -> bool:
    """Return True for a device that -d names: -d is a global option of every command."""
    return parameter.name == "device" and not parameter.option.argument


def kind_of(parameter: Parameter) -> Any:
    """Return the type of a value that is not None, without the constraints on it."""
    kind = parameter.option.told or parameter.kind
    if get_origin(kind) in (Union, UnionType):
        kind = next(member for member in get_args(kind) if member is not NoneType)
    return _without_metadata(kind)


def _without_metadata(kind: Any) -> Any:
    if hasattr(kind, "__metadata__"):
        return get_args(kind)[0]
    return kind
