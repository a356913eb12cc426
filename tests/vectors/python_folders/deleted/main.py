import table

del table.old
table.rows.append(3)
print(table.rows, table.has_old())
