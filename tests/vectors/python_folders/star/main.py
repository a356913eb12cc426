import math
from math import floor
from shapes import *

print(area(2, 3), Square(4).area(), UNIT)
print(floor(2.5), math.ceil(2.5))
