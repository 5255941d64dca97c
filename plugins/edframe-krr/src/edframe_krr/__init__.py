"""Kernel ridge regression from a Gaussian potential to the Fourier coefficients of the density."""
