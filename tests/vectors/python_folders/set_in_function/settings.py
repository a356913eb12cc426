speed = 1
total = 10
mode = 'none'
new = None
