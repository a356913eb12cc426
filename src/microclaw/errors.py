"""Every exception that microclaw raises on purpose, grouped by who must act.

Each message says what happened, with its values; `next_step` says what to do about it. `code` is its stable
machine-readable name, `exit_code` what the command line exits with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

# The kind of a model service's failure. `refused`: it will never accept the request (400, 404); `too_long`: the request
# does not fit its window.
ModelFault: TypeAlias = Literal[
    "unreachable",
    "timeout",
    "rate_limit",
    "quota",
    "overloaded",
    "server",
    "auth",
    "unreadable",
    "refused",
    "too_long",
    "other",
]

E = TypeVar("E", bound=BaseException)
# Of a source line, around the place: a line may be the whole program.
SHOWN_CHARS: Final = 200
MAX_LINE_CHARS: Final = 1000


class Diagnostic(Struct, frozen=True):
    """One finding about a program's source; `line` and `column` count from 1."""

    severity: Literal["error", "warning", "note"]
    message: str
    file: str = "main.c"
    line: int | None = None
    column: int | None = None
    source_line: str | None = None
    # What to do about it.
    hint: str | None = None
    # The reason, if the message does not say it.
    explanation: str | None = None

    def with_further_hint(self, hint: str | None) -> Diagnostic:
        """Return the finding with one more thing to do; None adds nothing."""
        hints = [text for text in (self.hint, hint) if text]
        return replace(self, hint="; ".join(hints) or None)

    def to_json(self) -> dict[str, str | int | None]:
        """Return the finding as JSON answers have it."""
        fields = asdict(self)
        fields["source_line"] = self.source_line and self.source_line[:MAX_LINE_CHARS]
        fields["next"] = fields.pop("hint")
        fields["text"] = self.render()
        return fields

    def render(self, *, next_step: str | None = None) -> str:
        """Return the finding as a compiler prints it: source line, caret, and a hint that is not `next_step`."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        lines = [f"{place}: {self.severity}: {self.message}"]
        if self.source_line is not None:
            lines += self._source_lines(self.source_line)
        if self.explanation:
            lines.append(f"    why: {self.explanation}")
        if self.hint and self.hint != next_step:
            lines.append(f"    hint: {self.hint}")
        return "\n".join(lines)

    def _source_lines(self, source_line: str) -> list[str]:
        """Return the part of the source line around the place, and a caret below the column."""
        first = 0
        if len(source_line) > SHOWN_CHARS:
            first = max(0, (self.column or 1) - SHOWN_CHARS // 2)
        shown = source_line[first : first + SHOWN_CHARS]
        lines = [f"    {shown}"]
        if self.column is not None:
            # Tabs stay, so that the caret is below its column.
            lead = re.sub(r"[^\t]", " ", shown[: self.column - 1 - first])
            lines.append(f"    {lead}^")
        return lines


class MicroclawError(Exception):
    """The root of all errors; `message` is one line without a trailing full stop.

    `foreign` True: it quotes a device or server; False: it quotes no one; None: as its class or tool says.
    """

    code: str = "failed"
    exit_code: int = 1
    foreign: bool | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    # The pictures of displays (events.ScreenPicture), of a failed trial.
    screens: tuple[Any, ...] = ()

    def __init_subclass__(cls, *, code: str = "", exit_code: int = 0, foreign: bool | None = None) -> None:
        """Set the class's code, exit code and `foreign`; a value that is left out is inherited."""
        cls.code = code or cls.code
        cls.exit_code = exit_code or cls.exit_code
        cls.foreign = cls.foreign if foreign is None else foreign

    def __init__(self, message: str, *, next_step: str | None = None, foreign: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        if foreign is not None:
            self.foreign = foreign

    @property
    def next(self) -> str | None:
        """`next_step` by its name in the API's answers, for programs that use microclaw.host.operations.client."""
        return self.next_step


class ProtocolError(MicroclawError, code="protocol_error", foreign=True):
    """The peer sent bytes that no later bytes can make valid."""


class LinkViolation(ProtocolError, code="link_violation"):
    """A peer broke the link's contract. `reason` is the `code` of the `error` message for it."""

    def __init__(self, message: str, *, close_code: int = 4400, reason: str = "malformed") -> None:
        super().__init__(message)
        self.close_code = close_code
        self.reason = reason


class DeviceError(MicroclawError, code="device_error"):
    """A device did not do what the host requested."""


class DeviceUnreachable(DeviceError, code="device_unreachable", exit_code=4):
    """The device does not answer at its address."""


class InstallInterrupted(DeviceUnreachable, code="install_interrupted"):
    """An installation was interrupted. `outcome`: the app is "not_installed", "listed" by the device, or "unknown".

    `silent`: it is unknown because the device accepts connections and does not answer.
    """

    def __init__(
        self,
        message: str,
        *,
        outcome: Literal["not_installed", "listed", "unknown"],
        next_step: str | None = None,
        silent: bool = False,
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.outcome = outcome
        self.silent = silent


class DeviceMoved(DeviceUnreachable):
    """The device is connected to another host of the cluster, or soon will be.

    The call may be made there: it was not carried out, or may be repeated.
    """


class DeviceTimeout(DeviceError, code="device_timeout", exit_code=4):
    """The device did not answer in time; the outcome may be unknown."""


class OutcomeUnknown(DeviceTimeout, code="outcome_unknown"):
    """It is unknown if a call with an effect was carried out."""


class DeviceSilent(DeviceTimeout, code="device_silent"):
    """The device accepts connections, but its application manager does not work any more."""


class ProgramSilent(DeviceTimeout):
    """A program was asked for its page, and gave no answer in time."""


class DeviceLied(DeviceError, code="device_lied", foreign=True):
    """The device's answer contradicts the request."""


class NotSupported(DeviceError, code="not_supported"):
    """No transport of this device offers that capability."""


class CallRejected(DeviceError, code="call_rejected"):
    """The firmware answered with an error."""


class DeployRejected(CallRejected, code="deploy_rejected"):
    """The firmware did not install, remove or report a program."""


class DeviceBusy(DeployRejected):
    """Another host of the cluster is changing the device now, or has just changed it."""


class AppExists(DeployRejected, code="app_exists"): ...


class AppNotFound(DeployRejected, code="app_not_found"): ...


class TooManyApps(DeployRejected, code="too_many_apps"):
    """The device has no place for one more program; each of `replaceable` makes room for it if it is stopped."""

    replaceable: tuple[str, ...] = ()


class InvalidModule(DeployRejected, code="invalid_module"): ...


class ImageTooLarge(DeployRejected, code="image_too_large"): ...


class UndoElsewhere(DeployRejected, code="undo_elsewhere"):
    """This conversation has nothing to undo; `changes` belong to the newest request elsewhere, newest first."""

    def __init__(self, message: str, changes: tuple[int, ...]) -> None:
        super().__init__(message, next_step="; ".join(f"microclaw app undo {number}" for number in changes))
        self.changes = changes


class UndoIncomplete(MicroclawError, code="undo_incomplete"):
    """Some changes of a turn could not be reverted; the message says which."""


class BuildError(MicroclawError, code="build_error"):
    """The source cannot become a program for this board; `diagnostics` is never empty."""

    def __init__(
        self, diagnostics: tuple[Diagnostic, ...], *, stage: str = "compile", next_step: str | None = None
    ) -> None:
        errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity == "error"]
        first = (errors or diagnostics)[0]
        next_step = next_step or first.hint or f"correct {first.file}, then build it again"
        super().__init__(first.render().partition("\n")[0], next_step=next_step)
        self.diagnostics = diagnostics
        self.stage = stage


class TrialFailed(MicroclawError, code="trial_failed"):
    """The program compiled but failed on the virtual board; `diagnostics` say how, `screens` what displays show."""

    def __init__(
        self,
        message: str,
        *,
        next_step: str | None = None,
        diagnostics: tuple[Diagnostic, ...] = (),
        screens: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.diagnostics = diagnostics
        self.screens = screens


class ExpectationNotMet(TrialFailed, code="expectation_not_met"):
    """The program runs, but does not meet its expectations."""


class PinRefused(MicroclawError, code="pin_refused"):
    """The board profile forbids this use of a pin."""


class PinClaimed(PinRefused, code="pin_claimed"):
    """A program or a wired part has the pin; a person may force it. Each of `replaceable` makes it free if stopped."""

    replaceable: tuple[str, ...] = ()


class PinCaution(PinRefused, code="pin_caution"):
    """The pin needs care, and no person has said yes to driving it; a command says yes with `force`."""


class PermissionRefused(MicroclawError, code="permission_refused"):
    """A rule or a person refused the act."""


class ToolRetry(MicroclawError, code="tool_retry"):
    """The model called a tool wrongly and may call again."""


class ToolFailed(MicroclawError, code="tool_failed"):
    """The tool ran and failed; calling again will not help."""


class BoardsFailed(MicroclawError, code="boards_failed"):
    """An act on many boards failed on some of them; the message has a result for each."""


class BoardsUnknown(BoardsFailed, code="boards_unknown"):
    """It is unknown what one of the boards did."""


class ModelError(MicroclawError, code="model_error"):
    """A model's service failed. `retry_after_s`: how long the service asks to wait."""

    def __init__(
        self,
        message: str,
        *,
        next_step: str | None = None,
        fault: ModelFault = "other",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.fault = fault
        self.retry_after_s = retry_after_s


class BudgetSpent(ModelError, code="budget_spent"):
    """The day's budget is used up, so the model was not called."""


class VoiceError(MicroclawError, code="voice_error"):
    """A speech engine failed, or is missing."""


class BrokerError(MicroclawError, code="broker_error"):
    """The MQTT broker cannot be reached, or refuses."""


class UnknownName(MicroclawError, code="unknown_name"):
    """No such device, program, pattern or change."""


class ConfigError(MicroclawError, code="config_error"):
    """The operator must correct the configuration or the environment."""


class StoreError(MicroclawError, code="store_error"):
    """The host's database cannot be read or written."""


class StoreOwned(StoreError, code="store_owned"):
    """Another host runs in this home."""


class StoreUnwritable(StoreError, code="store_unwritable"): ...


class TakenOver(StoreError, code="taken_over"):
    """Another host of the cluster has this work now, because the lease of this one ended."""


class StoreUnreachable(StoreError, code="store_unreachable"):
    """The database that a cluster's hosts share cannot be reached now; it may come back by itself."""


class CommitUnknown(StoreUnreachable, code=OutcomeUnknown.code, exit_code=OutcomeUnknown.exit_code):
    """The connection was lost during a write: it is unknown if the database has the change."""


class NewerConnection(StoreError, code="newer_connection"):
    """The device has a newer connection to another host of the cluster; messages of the old one do not count."""


class StoreMissing(StoreError, code="store_missing"):
    """There is an identity but no store: a person has to decide which is right."""


class BackupError(MicroclawError, code="backup_error"):
    """A backup cannot be made or read. `default_step` is the next step if the caller gives none."""

    default_step: str | None = None

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step or self.default_step)


class NotABackup(BackupError, code="not_a_backup"):
    default_step = "name a file that microclaw backup made"


class BackupNewer(BackupError, code="backup_newer"):
    default_step = "install the microclaw that made it, or a later one"


class BackupLocked(BackupError, code="backup_locked"):
    """This key does not open it."""

    default_step = "give the KEYFILE of its public key, or --old if it has a password"


class BackupCut(BackupError, code="backup_cut"):
    default_step = "copy the whole file again, or use an earlier backup"


class BackupDamaged(BackupError, code="backup_damaged"):
    default_step = "copy the file again, or use an earlier backup"


class Overloaded(MicroclawError, code="overloaded"):
    """A bounded queue is full."""


class TaskRefused(MicroclawError, code="task_refused"):
    """Code that this host does not run because of its form, its limits or its sender."""


class NoSandbox(MicroclawError, code="no_sandbox"):
    """This machine has no sandbox, so no code is run."""


class ScheduleRefused(MicroclawError, code="schedule_refused"):
    """A schedule in the past, without a time, too often, or one too many."""


class EmptyMessage(MicroclawError, code="empty_message"):
    """A message without words."""


class MessageTooLong(MicroclawError, code="message_too_long"):
    """A message over its limit; nothing of it was stored."""


class AlreadyAnswered(MicroclawError, code="already_answered"):
    """A second answer to a question: the first one counts, and nothing of this one was stored."""


class NoHost(MicroclawError, code="no_host", exit_code=3):
    """No host listens on the control socket, or at its address."""


@contextmanager
def after_acceptance(act: str) -> Iterator[None]:
    """Raise OutcomeUnknown for an error of the store inside: `act` was accepted before, and may be done.

    TakenOver and NewerConnection are raised unchanged: they say that another host continues.
    """
    try:
        yield
    except (TakenOver, NewerConnection):
        raise
    except StoreError as exc:
        text = f"{act}: outcome unknown ({exc.message})"
        raise OutcomeUnknown(text, next_step="look before you repeat it: microclaw app changes") from exc


def exit_code_of(code: str) -> int:
    """Return the exit code of the command line for an error's `code`, or 1 if the code is unknown."""
    pending: list[type[MicroclawError]] = [MicroclawError]
    while pending:
        error = pending.pop()
        if error.code == code:
            return error.exit_code
        pending += error.__subclasses__()
    return MicroclawError.exit_code


def over_limit(what: str, most: int, noun: str, count: int | None = None) -> str:
    """Say that a limit was exceeded: "the name has 120 characters, at most 100"; `count` None: it was not counted."""
    if count is None:
        return f"{what} has more than {most:,} {noun}s"
    return f"{what} has {count:,} {noun}s, at most {most:,}"


def error_below(error: BaseException | None, kind: type[E]) -> E | None:
    """Return the error of this kind among the causes of a library's error, or None if the library dropped it."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error
