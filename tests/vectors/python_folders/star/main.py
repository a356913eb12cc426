from shapes import *

print(area(2, 3), Square(4).area(), UNIT)
