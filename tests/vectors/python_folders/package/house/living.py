chair = 'chair'


def table():
    return 'table'
