"""The secrets that tasks use by name: kept in the system's keyring where there is one, else in secrets.toml (0600).

The proxy alone reads the values. Every value that is read or written is told to the mask of the logs first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from microclaw.config.edit import write_secret
from microclaw.config.sources import SECRETS, read_sources
from microclaw.egress.allowlist import SECRET_NAME, Allowlist
from microclaw.egress.policy import version_of
from microclaw.egress.system_keyring import Keyring
from microclaw.errors import ConfigError, UnknownName
from microclaw.masking import MIN_CHARS, SecretMask

Place: TypeAlias = Literal["keyring", "secrets.toml"]
IN_KEYRING: Final = "@keyring"
"""Stands in secrets.toml in the place of a value that the keyring has, as keyrings do not list their names."""
SERVICE: Final = "microclaw"
UNLOCK: Final = "unlock the keyring (log in to the desktop, or start its service)"


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a value is kept now. `copy_left`: an older one is still in the keyring, which could not be asked."""

    place: Place
    copy_left: bool = False


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
        self._failed: dict[str, str] = {}  # why the keyring gave no value

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

    def refusal(self, name: str) -> str:
        """Why the last look at this secret had no value, with what to do."""
        why = self._failed.get(name)
        if why is not None:
            return f"the secret {name} is in the keyring, which does not give it ({why}): {UNLOCK}"
        return f"there is no secret {name}: microclaw secret set {name} -"

    def unreadable(self) -> dict[str, str]:
        """The names whose value the keyring does not give, and why. Blocking."""
        names = [name for name, place in self.places().items() if place == "keyring" and self._value(name) is None]
        return {name: self._failed.get(name, "it is no usable value") for name in names}

    def set(self, name: str, value: str, place: Place | None = None) -> Kept:
        """Keep a value in that place, else in the keyring where there is one. Raises ConfigError. Blocking.

        A keyring that does not take it is an error: the value never goes to another place than was said.
        """
        if not SECRET_NAME.fullmatch(name):
            step = "small letters, digits, - and _; at most 32"
            raise ConfigError(f"{name[:40]!r} is no secret's name", next_step=step)
        if not _is_usable(value) or value == IN_KEYRING:
            text = f"a secret is one line of {MIN_CHARS} ASCII characters at least: shorter ones cannot be masked"
            raise ConfigError(text, next_step="check what was given")
        self._mask.add(value)
        before = self.places().get(name)
        if place is None and self._keyring is None and before == "keyring":
            text = f"{name} was kept in the keyring, and there is none now"
            raise ConfigError(text, next_step=f"{UNLOCK}, or: microclaw secret set {name} @FILE --in file")
        if place == "keyring" or (place is None and self._keyring is not None):
            self._put(name, value)
            write_secret(self._home, self._environ, name, IN_KEYRING)
            return Kept("keyring")
        write_secret(self._home, self._environ, name, value)
        return Kept("secrets.toml", copy_left=before == "keyring" and not self._is_deleted(name))

    def move(self, name: str, place: Place) -> Kept:
        """Keep it in another place, and there alone. Raises UnknownName, ConfigError. Blocking."""
        before = self.places().get(name)
        if before is None:
            raise UnknownName(f"there is no secret {name[:40]}", next_step="microclaw secret list")
        value = self._value(name)
        if value is None:
            if before == "keyring":
                why = self._failed.get(name, "it is no usable value")
                raise ConfigError(f"the keyring does not give {name} ({why}), so it stays there", next_step=UNLOCK)
            raise ConfigError(f"{name} is no usable value", next_step=f"microclaw secret set {name} @FILE")
        return self.set(name, value, place)

    def remove(self, name: str) -> None:
        """Forget a value. Raises UnknownName, ConfigError. Blocking."""
        place = self.places().get(name)
        if place is None:
            raise UnknownName(f"there is no secret {name[:40]}", next_step="microclaw secret list")
        if place == "keyring" and not self._is_deleted(name):
            why = self._failed.get(name, "it does not answer")
            step = f"{UNLOCK}, or give it up there: microclaw secret set {name} @FILE --in file, then rm"
            raise ConfigError(f"the keyring does not remove {name}: {why}", next_step=step)
        write_secret(self._home, self._environ, name, None)

    def _value(self, name: str) -> str | None:
        value = self._texts().get(name)
        self._failed.pop(name, None)
        if value == IN_KEYRING:
            value = self._asked(name, lambda keyring: keyring.get_password(SERVICE, self._account(name)))
            if value is None:
                self._failed.setdefault(name, "it has no such entry")
        if value is not None:
            self._mask.add(value)
        return value if value is not None and _is_usable(value) else None

    def _asked(self, name: str, ask: Callable[[Keyring], str | None]) -> str | None:
        """What the keyring answers; None when it does not, and why is in `_failed`."""
        if self._keyring is None:
            self._failed[name] = "there is no keyring here"
            return None
        try:
            return ask(self._keyring)
        except Exception as exc:  # locked, or gone: of the backend's own kind
            self._failed[name] = _why(exc)
            return None

    def _put(self, name: str, value: str) -> None:
        """Into the keyring: what it says is read back."""

        def put(keyring: Keyring) -> str | None:
            keyring.set_password(SERVICE, self._account(name), value)
            return keyring.get_password(SERVICE, self._account(name))

        self._failed.pop(name, None)
        if self._asked(name, put) != value:
            why = self._failed.get(name, "it gives back another value")
            step = f"{UNLOCK}, or keep it in the file: microclaw secret set {name} @FILE --in file"
            raise ConfigError(f"the keyring does not take {name}: {why}", next_step=step)

    def _is_deleted(self, name: str) -> bool:
        """Whether the keyring has it no more."""

        def delete(keyring: Keyring) -> str | None:
            if keyring.get_password(SERVICE, self._account(name)) is not None:
                keyring.delete_password(SERVICE, self._account(name))
            return "gone"

        self._failed.pop(name, None)
        return self._asked(name, delete) is not None

    def _texts(self) -> Mapping[str, str]:
        seen = version_of(self._home / SECRETS)
        if seen != self._seen:
            self._known = read_sources(self._home, self._environ).file.secrets.values
            self._seen = seen
        return self._known

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


def _why(exc: Exception) -> str:
    """Without words of the backend's that could have the value in them."""
    if isinstance(exc, TimeoutError):
        return str(exc)
    return "it is locked" if "Locked" in type(exc).__name__ else type(exc).__name__


def _is_usable(value: str) -> bool:
    """Whether it can be a header's value, and can be masked."""
    return len(value) >= MIN_CHARS and value.isascii() and value.isprintable()
