"""Corrections of a density from what surrounds each point, fitted in closed form, and a small network on the same."""
