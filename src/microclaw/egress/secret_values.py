"""The secrets that tasks use by name: kept in the system's keyring where there is one, else in secrets.toml (0600).

The proxy alone reads the values. Every value that is read or written is told to the mask of the logs first.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

from microclaw.config.edit import write_secret
from microclaw.config.sources import SECRETS, read_sources
from microclaw.egress.allowlist import SECRET_NAME, Allowlist
from microclaw.egress.policy import version_of
from microclaw.errors import ConfigError, UnknownName
from microclaw.masking import MIN_CHARS, SecretMask

Place: TypeAlias = Literal["keyring", "secrets.toml"]
IN_KEYRING: Final = "@keyring"
"""Stands in secrets.toml in the place of a value that the keyring has, as keyrings do not list their names."""
SERVICE: Final = "microclaw"
USABLE_PRIORITY: Final = 1.0  # the library gives less to places that are no better than a file, and to none


class Keyring(Protocol):
    """What the `keyring` library's backends offer."""

    def get_password(self, service: str, username: str, /) -> str | None: ...

    def set_password(self, service: str, username: str, password: str, /) -> None: ...

    def delete_password(self, service: str, username: str, /) -> None: ...


def system_keyring() -> Keyring | None:
    """The system's keyring; None without the library (extra `keyring`) or without a service, as in containers."""
    try:
        found: Any = importlib.import_module("keyring").get_keyring()
        return found if float(found.priority) >= USABLE_PRIORITY else None
    except Exception:  # backends raise errors of their own where a service is missing
        return None


class SecretValues:
    """Of one home. A value that cannot be read counts as none: the request is refused, the host goes on."""

    def __init__(
        self, home: Path, environ: Mapping[str, str], *, keyring: Keyring | None = None, mask: SecretMask | None = None
    ) -> None:
        self._home = home
        self._environ = environ
        self._keyring = keyring
        self._mask = mask or SecretMask()
        self._seen: tuple[int, ...] | None = ()
        self._known: Mapping[str, str] = {}

    async def value(self, name: str) -> str | None:
        """The secret's value; None where there is none of that name."""
        return await asyncio.to_thread(self._value, name)

    def places(self) -> dict[str, Place]:
        """Each name and where its value is. Blocking."""
        return {
            name: "keyring" if text == IN_KEYRING else "secrets.toml" for name, text in sorted(self._texts().items())
        }

    def tell_mask(self) -> None:
        """Let the mask of the logs know every value. Blocking."""
        for name in self._texts():
            self._value(name)

    def set(self, name: str, value: str) -> Place:
        """Keep a value; where it is kept. Raises ConfigError. Blocking."""
        if not SECRET_NAME.fullmatch(name):
            step = "small letters, digits, - and _; at most 32"
            raise ConfigError(f"{name[:40]!r} is no secret's name", next_step=step)
        if not _is_usable(value) or value == IN_KEYRING:
            text = f"a secret is one line of {MIN_CHARS} ASCII characters at least: shorter ones cannot be masked"
            raise ConfigError(text, next_step="check what was given")
        self._mask.add(value)
        if self._keyring is not None and self._kept(name, value):
            write_secret(self._home, self._environ, name, IN_KEYRING)
            return "keyring"
        write_secret(self._home, self._environ, name, value)
        return "secrets.toml"

    def remove(self, name: str) -> None:
        """Forget a value. Raises UnknownName, ConfigError. Blocking."""
        place = self.places().get(name)
        if place is None:
            raise UnknownName(f"there is no secret {name[:40]}", next_step="microclaw secret list")
        if place == "keyring":
            try:
                self._need_keyring().delete_password(SERVICE, self._account(name))
            except ConfigError:
                raise
            except Exception as exc:  # of the backend's own kind
                text = f"the keyring does not remove {name}: {type(exc).__name__}"
                raise ConfigError(text, next_step="unlock the keyring") from None
        write_secret(self._home, self._environ, name, None)

    def _value(self, name: str) -> str | None:
        value = self._texts().get(name)
        if value == IN_KEYRING:
            try:
                value = self._need_keyring().get_password(SERVICE, self._account(name))
            except Exception:  # locked, or gone: of the backend's own kind
                value = None
        if value is not None:
            self._mask.add(value)
        return value if value is not None and _is_usable(value) else None

    def _texts(self) -> Mapping[str, str]:
        seen = version_of(self._home / SECRETS)
        if seen != self._seen:
            self._known = read_sources(self._home, self._environ).file.secrets.values
            self._seen = seen
        return self._known

    def _kept(self, name: str, value: str) -> bool:
        """Whether the keyring has it now: what it says is read back."""
        assert self._keyring is not None
        try:
            self._keyring.set_password(SERVICE, self._account(name), value)
            return self._keyring.get_password(SERVICE, self._account(name)) == value
        except Exception:  # locked, or no service: of the backend's own kind
            return False

    def _need_keyring(self) -> Keyring:
        if self._keyring is None:
            raise ConfigError("the keyring that has this secret is not there", next_step="microclaw secret set NAME -")
        return self._keyring

    def _account(self, name: str) -> str:
        """Two homes of one account do not share their secrets."""
        return f"{self._home}:{name}"


def missing_secrets(home: Path, environ: Mapping[str, str], allowlist: Allowlist) -> dict[str, str]:
    """The secrets that entries name and this home has not, each with where it is named. Blocking."""
    known = SecretValues(home, environ).places()
    found: dict[str, list[str]] = {}
    for entry in allowlist.entries:
        if entry.secret is not None and entry.secret not in known:
            found.setdefault(entry.secret, []).append(f"line {entry.line}: {entry.host}")
    return {name: ", ".join(found[name]) for name in sorted(found)}


def missing_text(name: str, where: str) -> tuple[str, str]:
    """What that means, and the next step."""
    text = f"there is no secret {name}, which egress.yaml names ({where}): what needs it is refused"
    return text, f"microclaw secret set {name} @FILE"


def _is_usable(value: str) -> bool:
    """Whether it can be a header's value, and can be masked."""
    return len(value) >= MIN_CHARS and value.isascii() and value.isprintable()
