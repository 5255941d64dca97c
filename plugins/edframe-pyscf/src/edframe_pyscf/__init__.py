"""Datasets for edframe: densities computed by PySCF; the Li-O-Li set."""
