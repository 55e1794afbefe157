"""Long runs and what they converge to: time averages, empirical measures, invariance."""
