import house.kitchen as k
from house.kitchen import oven as stove

print(k.oven(2), stove(3), k.HEAT)
