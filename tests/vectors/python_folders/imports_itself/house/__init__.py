import house.kitchen

on = 5


def total():
    on = 1
    return on + house.on + house.kitchen.sinks
