HEAT = 200


def oven(n):
    return n * HEAT
