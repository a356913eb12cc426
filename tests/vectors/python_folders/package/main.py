import house.living
import house
from house import kitchen, NAME

print(house.living.table(), house.NAME, kitchen.oven(), NAME, house.kitchen.oven())
print(house.__name__, house.living.__name__)
