"""Comparisons: one experiment with other components or values, over folds and seeds, and what can be said of it."""
