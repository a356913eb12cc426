"""What may be done: who somebody is, what a role allows, what is asked for first, and the pin rules of a board."""

from microclaw.policy.gate import Effect, Gate
from microclaw.policy.person import OWNER, Permission, Person, Role
from microclaw.policy.pins import check_pin, nearest_free_pins, pin_caution

__all__ = [
    "OWNER",
    "Effect",
    "Gate",
    "Permission",
    "Person",
    "Role",
    "check_pin",
    "nearest_free_pins",
    "pin_caution",
]
