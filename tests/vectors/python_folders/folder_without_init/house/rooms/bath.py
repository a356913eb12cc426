from .. import roof


def tub():
    return 'tub under ' + roof.NAME
