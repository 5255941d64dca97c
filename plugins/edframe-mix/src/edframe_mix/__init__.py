"""Mixtures for edframe: a weighted sum of losses, a union of datasets."""
