"""A function with its first arguments, as functools.partial elsewhere: one lambda for all places takes less memory.
And a module that is read in for one use."""

import sys


def bound(function, *first):
    return lambda *args, **named: function(*first, *args, **named)


def once(module):
    """The module, whose memory is given back when the caller lets go of it."""
    found = __import__(module)
    sys.modules.pop(module)
    return found
