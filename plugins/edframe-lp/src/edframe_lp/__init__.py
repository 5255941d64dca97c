"""Losses for edframe: l1 and l2."""
