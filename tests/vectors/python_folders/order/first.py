import second

print('first', second.value)
