"""Every exception that microclaw raises on purpose, cut by who must act.

Each error says what happened with its values; `next_step` says what to do about it. `code` is its stable
machine-readable name, `exit_code` what the command line exits with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import asdict

# What kind of failure a model's service had: `refused` is a request that it will never take (400, 404), `too_long` one
# that does not fit its window.
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
SHOWN_CHARS: Final = 200  # of a source line, around the place; a line may be the whole program
MAX_LINE_CHARS: Final = 1000


class Diagnostic(Struct, frozen=True):
    """One finding about a program's source; `line` and `column` count from 1."""

    severity: Literal["error", "warning", "note"]
    message: str
    file: str = "main.c"
    line: int | None = None
    column: int | None = None
    source_line: str | None = None
    hint: str | None = None  # what to do about it
    explanation: str | None = None  # why it is so, where the message does not say it

    def to_json(self) -> dict[str, str | int | None]:
        """The finding as every JSON answer has it."""
        found = asdict(self)
        found["source_line"] = self.source_line and self.source_line[:MAX_LINE_CHARS]
        found["next"], found["text"] = found.pop("hint"), self.render()
        return found

    def render(self, *, next_step: str | None = None) -> str:
        """Return the finding as a compiler prints it: source line, caret, and a hint that is not `next_step`."""
        place = ":".join(str(p) for p in (self.file, self.line, self.column) if p is not None)
        lines = [f"{place}: {self.severity}: {self.message}"]
        if self.source_line is not None:
            if len(self.source_line) > SHOWN_CHARS:
                first = max(0, (self.column or 1) - SHOWN_CHARS // 2)
            else:
                first = 0
            shown = self.source_line[first : first + SHOWN_CHARS]
            lines.append(f"    {shown}")
            if self.column is not None:
                lead = "".join("\t" if c == "\t" else " " for c in shown[: self.column - 1 - first])
                lines.append(f"    {lead}^")
        if self.explanation:
            lines.append(f"    why: {self.explanation}")
        if self.hint and self.hint != next_step:
            lines.append(f"    hint: {self.hint}")
        return "\n".join(lines)


class MicroclawError(Exception):
    """Root of the tree; `message` is one line without a trailing full stop.

    `foreign`: it quotes a device or server. False: it quotes nobody, whatever raised it; None: as its class or tool.
    """

    code: str = "failed"
    exit_code: int = 1
    foreign: bool | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    def __init_subclass__(cls, *, code: str = "", exit_code: int = 0, foreign: bool | None = None) -> None:
        """A value that is left out is that of the class above."""
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
        """`next_step` by its name in the API's answers, for programs that use microclaw.operations.client."""
        return self.next_step


class ProtocolError(MicroclawError, code="protocol_error", foreign=True):
    """The peer sent bytes that are wrong whatever follows."""


class LinkViolation(ProtocolError, code="link_violation"):
    """A peer did what the link's contract forbids. `reason` is the `code` of the `error` message that tells it."""

    def __init__(self, message: str, *, close_code: int = 4400, reason: str = "malformed") -> None:
        super().__init__(message)
        self.close_code = close_code
        self.reason = reason


class DeviceError(MicroclawError, code="device_error"):
    """A device did not do what it was asked."""


class DeviceUnreachable(DeviceError, code="device_unreachable", exit_code=4):
    """Nobody answers there."""


class InstallInterrupted(DeviceUnreachable, code="install_interrupted"):
    """An install broke off. `outcome`: the app is "not_installed", "listed" by the device, or nobody could ask.

    `silent`: it could not be asked because it takes connections and answers nothing.
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
    """The device is connected to another host of the cluster, or is about to be. The call may be made there: it was not
    carried out, or may be repeated.
    """


class DeviceTimeout(DeviceError, code="device_timeout", exit_code=4):
    """It did not answer in time; the outcome may be unknown."""


class OutcomeUnknown(DeviceTimeout, code="outcome_unknown"):
    """Nobody knows whether a call with an effect was carried out."""


class DeviceSilent(DeviceTimeout, code="device_silent"):
    """It takes connections, and its application manager does nothing any more."""


class DeviceLied(DeviceError, code="device_lied", foreign=True):
    """It answered about something else than it was asked."""


class NotSupported(DeviceError, code="not_supported"):
    """No transport of this device offers that capability."""


class CallRejected(DeviceError, code="call_rejected"):
    """The firmware answered with an error."""


class DeployRejected(CallRejected, code="deploy_rejected"):
    """The firmware did not install, remove or report a program."""


class DeviceBusy(DeployRejected):
    """Another host of the cluster is changing the device now, or has just done it."""


class AppExists(DeployRejected, code="app_exists"): ...


class AppNotFound(DeployRejected, code="app_not_found"): ...


class TooManyApps(DeployRejected, code="too_many_apps"): ...


class InvalidModule(DeployRejected, code="invalid_module"): ...


class ImageTooLarge(DeployRejected, code="image_too_large"): ...


class UndoElsewhere(DeployRejected, code="undo_elsewhere"):
    """Nothing to undo in this conversation; `changes` are the numbers of the newest request elsewhere, newest first."""

    def __init__(self, message: str, changes: tuple[int, ...]) -> None:
        super().__init__(message, next_step="; ".join(f"microclaw app undo {number}" for number in changes))
        self.changes = changes


class UndoIncomplete(MicroclawError, code="undo_incomplete"):
    """Some of what one turn did could not be reverted; the message says which."""


class BuildError(MicroclawError, code="build_error"):
    """The source cannot become a program for this board; `diagnostics` is never empty."""

    def __init__(
        self, diagnostics: tuple[Diagnostic, ...], *, stage: str = "compile", next_step: str | None = None
    ) -> None:
        first = next((d for d in diagnostics if d.severity == "error"), diagnostics[0])
        next_step = next_step or first.hint or f"correct {first.file}, then build it again"
        super().__init__(first.render().partition("\n")[0], next_step=next_step)
        self.diagnostics = diagnostics
        self.stage = stage


class TrialFailed(MicroclawError, code="trial_failed"):
    """The program compiled but misbehaved on the virtual board; `diagnostics` say what was seen."""

    def __init__(self, message: str, *, next_step: str | None = None, diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(message, next_step=next_step)
        self.diagnostics = diagnostics


class ExpectationNotMet(TrialFailed, code="expectation_not_met"):
    """The program runs, and does something else than was expected of it."""


class PinRefused(MicroclawError, code="pin_refused"):
    """The board profile forbids this use of a pin."""


class PinClaimed(PinRefused, code="pin_claimed"):
    """A program on the device uses the pin; a person may insist."""


class PermissionRefused(MicroclawError, code="permission_refused"):
    """A rule or a person refused it."""


class ToolRetry(MicroclawError, code="tool_retry"):
    """The model called a tool wrongly and may call again."""


class ToolFailed(MicroclawError, code="tool_failed"):
    """The tool ran and failed; calling again will not help."""


class BoardsFailed(MicroclawError, code="boards_failed"):
    """An act on many boards failed on some of them; the message has a result for each."""


class BoardsUnknown(BoardsFailed, code="boards_unknown"):
    """Nobody knows what one of the boards did."""


class ModelError(MicroclawError, code="model_error"):
    """`retry_after_s` is how long the service asked to be left alone."""

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
    """The model was not asked: the day's budget is used up."""


class VoiceError(MicroclawError, code="voice_error"):
    """A speech engine failed, or is not there."""


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
    """Another host of the cluster has this work now, as this one's lease had ended."""


class StoreUnreachable(StoreError, code="store_unreachable"):
    """The log that a cluster's hosts share cannot be reached now: it may go on by itself."""


class CommitUnknown(StoreUnreachable, code=OutcomeUnknown.code, exit_code=OutcomeUnknown.exit_code):
    """The connection was lost while it wrote: the database may have the change or not."""


class NewerConnection(StoreError, code="newer_connection"):
    """The device has a newer connection to another host of the cluster: what this one brings does not count."""


class StoreMissing(StoreError, code="store_missing"):
    """There is an identity and no store: a person must say which one is right."""


class BackupError(MicroclawError, code="backup_error"):
    """`default_step` is the next step where a place gives none of its own."""

    default_step: str | None = None

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step or self.default_step)


class NotABackup(BackupError, code="not_a_backup"):
    default_step = "name a file that microclaw backup made"


class BackupNewer(BackupError, code="backup_newer"):
    default_step = "install the microclaw that made it, or a later one"


class BackupLocked(BackupError, code="backup_locked"):
    """This password or key does not open it."""


class BackupCut(BackupError, code="backup_cut"):
    default_step = "copy the file again, whole, or take an earlier backup"


class BackupDamaged(BackupError, code="backup_damaged"):
    default_step = "copy the file again, or take an earlier backup"


class Overloaded(MicroclawError, code="overloaded"):
    """A bounded queue is full."""


class TaskRefused(MicroclawError, code="task_refused"):
    """Code that this host does not run: its form, its limits, or who asks."""


class NoSandbox(MicroclawError, code="no_sandbox"):
    """Nothing here shuts a program off from this machine, so none is run."""


class ScheduleRefused(MicroclawError, code="schedule_refused"):
    """A schedule in the past, of no time, too often, or too many of them."""


class EmptyMessage(MicroclawError, code="empty_message"):
    """A message without words."""


class MessageTooLong(MicroclawError, code="message_too_long"):
    """A message over its limit; nothing of it was stored."""


class NoHost(MicroclawError, code="no_host", exit_code=3):
    """No host listens on the control socket, or at its address."""


@contextmanager
def after_acceptance(act: str) -> Iterator[None]:
    """Raise OutcomeUnknown for an error of the store inside: `act` was accepted before, and may be done.

    TakenOver and NewerConnection stay as they are: they say which host goes on.
    """
    try:
        yield
    except (TakenOver, NewerConnection):
        raise
    except StoreError as exc:
        text = f"{act}: outcome unknown ({exc.message})"
        raise OutcomeUnknown(text, next_step="look before you repeat it: microclaw app changes") from exc


def exit_code_of(code: str) -> int:
    """The exit code of the command line for an error known by its `code` alone; 1 for one it does not know."""
    waiting: list[type[MicroclawError]] = [MicroclawError]
    while waiting:
        error = waiting.pop()
        if error.code == code:
            return error.exit_code
        waiting += error.__subclasses__()
    return MicroclawError.exit_code


def over_limit(what: str, most: int, noun: str, count: int | None = None) -> str:
    """ "the name has 120 characters, at most 100"; "the input has more than 4,096 bytes" where nobody counted on."""
    if count is None:
        return f"{what} has more than {most:,} {noun}s"
    return f"{what} has {count:,} {noun}s, at most {most:,}"


def error_below(error: BaseException | None, kind: type[E]) -> E | None:
    """The error of this kind below what a library made of it; some libraries cut causes off."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error
