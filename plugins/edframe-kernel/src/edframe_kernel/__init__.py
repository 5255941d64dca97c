"""Losses for edframe: coulomb, low-g, mmd and energy, by kernels of pairs on the grid."""
