"""Calls a method of a device over its link, and turns the device's error codes into this host's errors."""

from __future__ import annotations

from typing import Final

from microclaw import errors
from microclaw.devices.link.device_link import DeviceLink
from microclaw.errors import CallRejected, DeviceTimeout, MicroclawError, NotSupported
from microclaw.wire.link.values import Value, ValueMap
from microclaw.wire.program_errors import PROGRAM_ERRORS

_ERRORS: Final[dict[str, type[MicroclawError]]] = {
    "not_supported": NotSupported,
    "pin_refused": errors.PinRefused,
    **PROGRAM_ERRORS,
    "expired": DeviceTimeout,
}
# The error codes of docs/protocols/link-methods.md.
_CODES: Final = frozenset({*_ERRORS, "bad_params", "no_upload", "wrong_offset", "hash_mismatch", "failed"})
_MAX_REASON_CHARS: Final = 300


async def ask(link: DeviceLink, method: str, params: ValueMap, *, idempotent: bool, timeout_s: float) -> Value:
    """Call the device and return the value of its result. Raises the host's error for the device's error code.

    A code that the contract does not name is handled as `failed`.
    """
    result = await link.calls.call(method, params, idempotent=idempotent, timeout_s=timeout_s)
    if result.ok:
        return result.value
    if result.error is None:
        raise CallRejected(f"{method}: no reason given", next_step=_next_step("failed", method))
    code = result.error.code
    if code not in _CODES:
        code = "failed"
    reason = result.error.message[:_MAX_REASON_CHARS]
    error_class = _ERRORS.get(code, CallRejected)
    raise error_class(f"{method}: {reason or code}", next_step=_next_step(code, method), foreign=bool(reason))


def _next_step(code: str, method: str) -> str | None:
    if code == "not_supported":
        return "microclaw device show lists the capabilities"
    return "microclaw app list" if method.startswith("apps.") else None
