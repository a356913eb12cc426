import house
import lamp

print(house.total(), lamp.levels())
