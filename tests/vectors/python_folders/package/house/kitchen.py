from .living import table
from . import living


def oven():
    return table() + ' and ' + living.chair
