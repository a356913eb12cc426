__all__ = ['hello']


def hello():
    return 'hello'


def secret():
    return 'secret'


def bye():
    return 'bye'


def thanks():
    return 'thanks'


__all__.append('bye')
__all__.extend(['thanks'])
