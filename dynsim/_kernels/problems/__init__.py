"""The formulas of the built-in problems, a loss and a gradient for one θ and one term each."""
