"""Samples, splits and loading."""
