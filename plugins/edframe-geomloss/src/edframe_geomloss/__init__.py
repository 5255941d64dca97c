"""Losses of geomloss for edframe."""
