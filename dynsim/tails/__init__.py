"""How heavy the tails of a sample are."""
