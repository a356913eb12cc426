import größe

print(größe.höhe(2))
