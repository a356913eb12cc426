"""What displays show, as values: pictures, characters and digits. Models of parts make them."""
