"""Calls a method of a device over its link, and turns the device's error codes into this host's errors."""

from __future__ import annotations

from typing import Final

from microclaw import errors
from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.registry.call_acts import act_words
from microclaw.errors import CallRejected, DeviceTimeout, MicroclawError, NotSupported
from microclaw.text import cut_at_word
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
        raise CallRejected(
            f"{link.name} did not {act_words(method)}, and gave no reason", next_step=_next_step("failed", method)
        )
    code = result.error.code
    if code not in _CODES:
        code = "failed"
    reason = cut_at_word(result.error.message, _MAX_REASON_CHARS)
    error_class = _ERRORS.get(code, CallRejected)
    text = f"{link.name} did not {act_words(method)}: {reason or code}"
    raise error_class(text, next_step=_next_step(code, method), foreign=bool(reason))


def _next_step(code: str, method: str) -> str | None:
    if code == "not_supported":
        return "microclaw device show lists the capabilities"
    return "microclaw app list" if method.startswith("apps.") else None
