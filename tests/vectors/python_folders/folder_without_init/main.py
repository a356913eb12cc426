from house.rooms.bath import tub
import house.rooms.bath

print(tub(), house.rooms.bath.tub())
