"""BibTeX entries of what the datasets of this distribution rest on."""

PYSCF = """@article{Sun2020,
  author = {Sun, Qiming and others},
  title = {Recent developments in the {PySCF} program package},
  journal = {J. Chem. Phys.},
  volume = {153},
  pages = {024109},
  year = {2020},
  doi = {10.1063/5.0006074}
}"""

PBE = """@article{Perdew1996,
  author = {Perdew, John P. and Burke, Kieron and Ernzerhof, Matthias},
  title = {Generalized Gradient Approximation Made Simple},
  journal = {Phys. Rev. Lett.},
  volume = {77},
  pages = {3865--3868},
  year = {1996},
  doi = {10.1103/PhysRevLett.77.3865}
}"""

GTH = """@article{Goedecker1996,
  author = {Goedecker, S. and Teter, M. and Hutter, J.},
  title = {Separable dual-space {Gaussian} pseudopotentials},
  journal = {Phys. Rev. B},
  volume = {54},
  pages = {1703--1710},
  year = {1996},
  doi = {10.1103/PhysRevB.54.1703}
}"""

QM9_GEOMETRIES = """@article{Ramakrishnan2014,
  author = {Ramakrishnan, Raghunathan and Dral, Pavlo O. and Rupp, Matthias and von Lilienfeld, O. Anatole},
  title = {Quantum chemistry structures and properties of 134 kilo molecules},
  journal = {Sci. Data},
  volume = {1},
  pages = {140022},
  year = {2014},
  doi = {10.1038/sdata.2014.22}
}"""

MD17 = """@article{Chmiela2017,
  author = {Chmiela, Stefan and others},
  title = {Machine learning of accurate energy-conserving molecular force fields},
  journal = {Sci. Adv.},
  volume = {3},
  pages = {e1603015},
  year = {2017},
  doi = {10.1126/sciadv.1603015}
}"""

LI_2025 = """@article{Li2025,
  author = {Li, Chenghan and Sharir, Or and Yuan, Shunyue and Chan, Garnet Kin-Lic},
  title = {Image super-resolution inspired electron density prediction},
  journal = {Nat. Commun.},
  volume = {16},
  year = {2025},
  doi = {10.1038/s41467-025-60095-8}
}"""

MOLOPT = """@article{VandeVondele2007,
  author = {VandeVondele, Joost and Hutter, J{\\"u}rg},
  title = {{Gaussian} basis sets for accurate calculations on molecular systems in gas and condensed phases},
  journal = {J. Chem. Phys.},
  volume = {127},
  pages = {114105},
  year = {2007},
  doi = {10.1063/1.2770708}
}"""
