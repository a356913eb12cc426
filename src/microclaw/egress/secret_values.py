"""The secrets that tasks use by name, kept in secrets.toml (0600).

The proxy alone reads the values. Every value that is read or written is told to the mask of the logs first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microclaw.config.edit import write_changes
from microclaw.config.sources import Sources
from microclaw.egress.allowlist import FILE_NAME, SECRET_NAME, Allowlist, allowlist_problem, read_allowlist
from microclaw.errors import ConfigError, UnknownName
from microclaw.findings import Finding, problem
from microclaw.masking import MIN_CHARS, SecretMask
from microclaw.text import count_text


@dataclass(frozen=True, repr=False)
class SecretValues:
    """Of one home. A value that cannot be read counts as none: the request is refused, the host goes on."""

    home: Path
    environ: Mapping[str, str]
    mask: SecretMask = field(default_factory=SecretMask)

    async def value(self, name: str) -> str | None:
        """The secret's value; None where there is none of that name."""
        value = (await asyncio.to_thread(self._values)).get(name, "")
        return value if _is_usable(value) else None

    def names(self) -> list[str]:
        """Those in the file; the mask of the logs knows every value then. Blocking."""
        return sorted(self._values())

    def set(self, name: str, value: str) -> None:
        """Keep a value. Raises ConfigError. Blocking."""
        if not SECRET_NAME.fullmatch(name):
            step = "small letters, digits, - and _; at most 32"
            raise ConfigError(f"{name[:40]!r} is no secret's name", next_step=step)
        if not _is_usable(value):
            text = f"a secret is one line of {MIN_CHARS} ASCII characters at least: shorter ones cannot be masked"
            raise ConfigError(text, next_step=f"microclaw task secrets {name} @FILE, with the whole secret in the file")
        self.mask.add(value)
        write_changes(self.home, self.environ, {f"secrets.values.{name}": value.replace("${", "$${")})

    def remove(self, name: str) -> None:
        """Forget a value. Raises UnknownName. Blocking."""
        if name not in self.names():
            raise UnknownName(f"there is no secret {name[:40]}", next_step="microclaw task secrets")
        write_changes(self.home, self.environ, {f"secrets.values.{name}": None})

    def _values(self) -> Mapping[str, str]:
        found = Sources(self.home, self.environ).file.secrets.values
        self.mask.add(*found.values())
        return found


def missing_secrets(home: Path, environ: Mapping[str, str], allowlist: Allowlist) -> dict[str, Finding]:
    """The secrets that entries name and this home has not. Blocking."""
    known = SecretValues(home, environ).names()
    found = dict[str, Finding]()
    for entry in allowlist.entries:
        name = entry.secret
        if name is not None and name not in known:
            text = f"there is no secret {name}, which line {entry.line} of {FILE_NAME} names: what needs it is refused"
            found.setdefault(name, problem("egress", text, f"microclaw task secrets {name} @FILE"))
    return found


def egress_findings(home: Path) -> Iterator[Finding]:
    """Of the allowlist, where there is one: with a mistake in it tasks have no network. Blocking."""
    wrong = allowlist_problem(home / FILE_NAME)
    if wrong is not None:
        yield problem("egress", wrong, "microclaw task egress")
    elif (allowlist := read_allowlist(home / FILE_NAME)).entries:
        allowed = count_text(len(allowlist.entries), "host")
        yield Finding("egress", True, f"tasks may ask {allowed}: microclaw task egress")
        yield from missing_secrets(home, os.environ, allowlist).values()


def _is_usable(value: str) -> bool:
    """True if it can be a header's value, and can be masked."""
    return len(value) >= MIN_CHARS and value.isascii() and value.isprintable()
