"""Datasets for edframe: densities that Quantum ESPRESSO or ABINIT computes from inputs of your own."""
