import tool

print(tool.double(2))
