from . import living
from .kitchen import oven

NAME = 'house ' + living.table()
print('house runs', oven())
