"""A function with its first arguments bound, and a module that is loaded for one use.

The first is functools.partial elsewhere: one lambda for all places takes less memory.
"""

import sys


def bound(function, *first):
    return lambda *args, **named: function(*first, *args, **named)


def once(module):
    """Load a module for one use; its memory is free again when the caller drops it."""
    result = __import__(module)
    sys.modules.pop(module)
    return result
