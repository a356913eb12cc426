"""A function with its first arguments, as functools.partial elsewhere: one lambda for all places takes less memory."""


def bound(function, *first):
    return lambda *args, **named: function(*first, *args, **named)
