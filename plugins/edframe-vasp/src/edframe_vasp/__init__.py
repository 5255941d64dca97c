"""VASP for edframe: densities to learn from, and other fields to learn with."""
