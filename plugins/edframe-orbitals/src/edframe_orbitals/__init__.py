"""Densities of molecules from the orbitals of a small Hamiltonian, and a network per point that corrects them."""
