NAME = 'there'
