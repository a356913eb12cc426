DEEP = 'deep'


class Part:
    def name(self):
        return DEEP
