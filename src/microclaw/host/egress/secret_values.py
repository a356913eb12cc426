"""The secrets that tasks use by name, kept in secrets.toml (0600).

Only the proxy reads the values. Each value is added to the mask of the logs before it is used.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microclaw.errors import ConfigError, UnknownName
from microclaw.findings import Finding, problem
from microclaw.host.config.edit import write_changes
from microclaw.host.config.sources import Sources
from microclaw.host.egress.allowlist import FILE_NAME, SECRET_NAME, Allowlist, allowlist_problem, read_allowlist
from microclaw.host.egress.masking import MIN_CHARS, SecretMask
from microclaw.text import count_text


@dataclass(frozen=True, repr=False)
class SecretValues:
    """The secrets of one home. A value that is not usable counts as missing: the request is refused."""

    home: Path
    environ: Mapping[str, str]
    mask: SecretMask = field(default_factory=SecretMask)

    async def value(self, name: str) -> str | None:
        """Return the value of a secret, or None if there is no usable value of that name."""
        values = await asyncio.to_thread(self._values)
        value = values.get(name, "")
        return value if _is_usable(value) else None

    def names(self) -> list[str]:
        """Return the names in the file, sorted. Blocking."""
        return sorted(self._values())

    def set(self, name: str, value: str) -> None:
        """Keep a value. Raises ConfigError. Blocking."""
        if not SECRET_NAME.fullmatch(name):
            step = "small letters, digits, - and _; at most 32"
            raise ConfigError(f"{name[:40]!r} is not a name for a secret", next_step=step)
        if not _is_usable(value):
            text = f"a secret needs one line of at least {MIN_CHARS} ASCII characters, so that it can be masked"
            raise ConfigError(text, next_step=f"microclaw task secrets {name} @FILE, with the whole secret in the file")
        self.mask.add(value)
        write_changes(self.home, self.environ, {f"secrets.values.{name}": value.replace("${", "$${")})

    def remove(self, name: str) -> None:
        """Forget a value. Raises UnknownName. Blocking."""
        if name not in self.names():
            raise UnknownName(f"there is no secret {name[:40]}", next_step="microclaw task secrets")
        write_changes(self.home, self.environ, {f"secrets.values.{name}": None})

    def _values(self) -> Mapping[str, str]:
        values = Sources(self.home, self.environ).file.secrets.values
        self.mask.add(*values.values())
        return values


def missing_secrets(home: Path, environ: Mapping[str, str], allowlist: Allowlist) -> dict[str, Finding]:
    """Return a finding for each secret that entries name and this home does not have. Blocking."""
    names = SecretValues(home, environ).names()
    findings = dict[str, Finding]()
    for entry in allowlist.entries:
        name = entry.secret
        if name is not None and name not in names:
            text = f"there is no secret {name}, which line {entry.line} of {FILE_NAME} names"
            findings.setdefault(name, problem("egress", text, f"microclaw task secrets {name} @FILE"))
    return findings


def egress_findings(home: Path) -> Iterator[Finding]:
    """Yield the findings of doctor about the allowlist, none if there is no allowlist. Blocking."""
    mistake = allowlist_problem(home / FILE_NAME)
    if mistake is not None:
        yield problem("egress", mistake, "microclaw task egress")
        return
    allowlist = read_allowlist(home / FILE_NAME)
    if allowlist.entries:
        hosts = count_text(len(allowlist.entries), "host")
        yield Finding("egress", ok=True, text=f"tasks may connect to {hosts}: microclaw task egress")
        yield from missing_secrets(home, os.environ, allowlist).values()


def _is_usable(value: str) -> bool:
    """Return True if a value can be sent in a header and be masked in logs."""
    return len(value) >= MIN_CHARS and value.isascii() and value.isprintable()
