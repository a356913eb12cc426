EARLY = 1


class Base:
    def name(self):
        return 'base'


from second import LATER, Heir

LATE = LATER + 1


def total():
    import third

    return Heir().name() + third.text()
