import front

print(front.area())
