"""Losses for edframe: coulomb and low-g, energies of the error by pair kernels on the grid."""
