"""Conversions at the edge. Inside edframe there are Å, e/Å³ and eV only. CODATA 2022."""

BOHR = 0.529177210544
"""Å per bohr."""

HARTREE = 27.211386245981
"""eV per hartree."""
