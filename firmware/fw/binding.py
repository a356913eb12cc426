"""A function with its first arguments, as functools.partial elsewhere: one lambda for all places takes less memory.
And modules that are read in when needed."""

import sys

from errors import Squeezed
from micropython import const

_MODULE_BYTES = const(3_072)  # what most of them take at most while they are read in
room = []  # Runner.has_room, once there is a runner


def bound(function, *first):
    return lambda *args, **named: function(*first, *args, **named)


def read_in(module):
    """Import it. Squeezed before that if the heap would have to grow for it, as that costs the link."""
    if module not in sys.modules and room and not room[0](_MODULE_BYTES):
        raise Squeezed("no room to read in " + module)
    return __import__(module)


def once(module):
    """The module, whose memory is given back when the caller lets go of it."""
    found = read_in(module)
    sys.modules.pop(module)
    return found
