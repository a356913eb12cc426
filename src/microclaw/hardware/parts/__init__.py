"""The parts that people wire to boards: a folder each, with its facts (part.toml) and its virtual model."""
