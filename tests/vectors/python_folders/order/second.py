print('second')
value = 2
