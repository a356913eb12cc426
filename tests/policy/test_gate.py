"""The gate: the owner reads and acts, the risky waits for approvals, a stranger does nothing."""

from __future__ import annotations

import pytest

from microclaw.errors import PermissionRefused
from microclaw.policy.gate import Gate, Permission, Principal


@pytest.mark.parametrize("permission", [Permission.READ, Permission.ACT])
def test_owner_may_read_and_act(permission: Permission) -> None:
    Gate().check("owner", permission, "switch pin 4 on")


def test_risky_act_is_refused_with_a_next_step() -> None:
    with pytest.raises(PermissionRefused, match="erase flash is risky") as caught:
        Gate().check("owner", Permission.RISKY, "erase flash")
    assert caught.value.next_step


@pytest.mark.parametrize("permission", list(Permission))
def test_stranger_may_nothing(permission: Permission) -> None:
    with pytest.raises(PermissionRefused, match="'mallory' is nobody"):
        Gate().check("mallory", permission, "read pin 4")


def test_guest_may_only_what_was_granted() -> None:
    gate = Gate([Principal("guest", frozenset({Permission.READ}))])
    gate.check("guest", Permission.READ, "read pin 4")
    with pytest.raises(PermissionRefused, match="guest may not act"):
        gate.check("guest", Permission.ACT, "switch pin 4 on")
