"""Featurizers for edframe: Gaussians on the atoms, and superposed atomic densities."""
