NAME = 'roof'
