"""What may be done: the pin rules of a board and the permissions of a principal."""

from microclaw.policy.gate import OWNER, Effect, Gate, Permission, Principal
from microclaw.policy.pins import check_pin, nearest_free_pins, pin_caution

__all__ = ["OWNER", "Effect", "Gate", "Permission", "Principal", "check_pin", "nearest_free_pins", "pin_caution"]
