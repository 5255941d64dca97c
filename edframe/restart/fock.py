"""The density matrix that PySCF starts from, of a density on a grid: the orbitals of the density's own potential.

    F[ρ] = h + V_H[ρ] + V_xc[ρ],    F C = S C ε,    D = C n C†

The density ρ₁ of D is not ρ: an error of ρ comes back larger where the gap is small, with the other sign (2.4 times for
Li2O). So the response is measured: from ρ, and from ρ a little towards ρ₁, follows the mixture whose residual is
smallest (Anderson, J. ACM 12, 547, 1965), and D is that of the mixture. Three Fock matrices in all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edframe.data.level import Level
from edframe.data.resampling import fourier
from edframe.errors import DataError, imported
from edframe.grid import Grid
from edframe.io.units import BOHR
from edframe.io.volume import Volume
from edframe.restart.code import Needs
from edframe.restart.start import Start, fitted, from_file

if TYPE_CHECKING:
    from jaxtyping import Complex, Float

__all__ = ["dm0", "needs_of"]

FLOOR = 1e-8
"""e/bohr³, below which exchange and correlation count nothing: values in a vacuum may be negative or rough."""

STEP = 0.3
"""Of the way from ρ to ρ₁: small, because there the error has grown."""

FARTHEST = 2.0
"""The mixture goes at most so many times the way from ρ to ρ₁."""

SPACING = 0.1
"""Å between the points on which a molecule's potential is integrated."""

SEMILOCAL = "pbe"
"""In place of a functional that needs more than the density: its exact exchange, its kinetic energy density."""


def dm0(mf: Any, density: Any) -> NDArray[Any]:
    """A density matrix for ``mf.kernel(dm0=…)``: ``[orbital, orbital]``, after an axis of k-points and one of spin
    where ``mf`` has them.

    mf: a mean field of PySCF, not yet run: restricted or unrestricted, periodic with Γ or k-points, or of a molecule
    with pseudopotentials. density: a file, a Volume, or a Density of ``edframe.open``; in e/Å³, with the valence
    electrons and the atoms of ``mf``. It is interpolated to the mesh of ``mf``, and scaled to its electrons.

    Raises DataError for other atoms, another number of electrons, and a mean field that cannot be started so.
    """
    needs = needs_of(mf)
    volume, name = volume_of(density)
    return matrix(mf, fitted(Start(volume, Level()), needs, name)[0])


def volume_of(density: Any) -> tuple[Volume, str]:
    """A density of ``dm0`` as a Volume, and its name for messages."""
    if isinstance(density, str | Path):
        return from_file(Path(density)).density, str(density)
    if isinstance(density, Volume):
        return density, "the density"
    fields = dict(zip(("total", "magnetisation"), density.values, strict=False))
    return Volume(density.structure, density.grid, fields), "the density"


def needs_of(mf: Any) -> Needs:
    """What a mean field of PySCF expects of a density. Raises DataError for one that no density can start."""
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    imported("pyscf", "pyscf", "a start of PySCF")
    if not hasattr(mf, "get_init_guess") or not hasattr(mf, "mol"):
        raise DataError(f"a mean field of PySCF is needed, such as dft.RKS(cell), not a {type(mf).__name__}")
    if mf.istype("ROHF") or mf.istype("KROHF") or mf.istype("GHF") or mf.istype("KGHF"):
        raise DataError(
            f"{type(mf).__name__} is not started from a density here; use a restricted or an unrestricted one"
        )
    mol = mf.mol
    symbols, positions = mol.elements, mol.atom_coords() * BOHR
    if not _periodic(mf):
        low = positions.min(axis=0) - 3.0
        box = Lattice(np.diag(positions.max(axis=0) + 3.0 - low))
        structure = Structure(box, symbols, positions - low, coords_are_cartesian=True)
        if not mol._pseudo and not mol._ecp:
            raise DataError(
                "a density on a grid starts no molecule with all its electrons: it cannot hold the cores, and PySCF's "
                "own start (minao) takes less time; give the molecule pseudopotentials, or start it with mf.kernel()"
            )
    else:
        if mol.dimension != 3:
            raise DataError(f"a cell of {mol.dimension} periodic axes is not started here; use one of 3, with a vacuum")
        if hasattr(getattr(mf, "kpts", None), "kpts_ibz"):
            raise DataError("k-points reduced by symmetry are not started here; use cell.make_kpts(…) without symmetry")
        structure = Structure(Lattice(mol.lattice_vectors() * BOHR), symbols, positions, coords_are_cartesian=True)
    spins = 2 if _unrestricted(mf) else 1
    return Needs(structure, None, spins, float(mol.tot_electrons()), float(mol.charge), _level(mf))


def matrix(mf: Any, density: Volume) -> NDArray[Any]:
    """``dm0`` of a density that fits ``needs_of(mf)``."""
    if not _periodic(mf):
        return _of_molecule(mf, density)
    integrator, core, overlap = _integrator(mf), mf.get_hcore(), mf.get_ovlp()
    components = _spins(mf, _on_mesh(mf, integrator, density))

    def solved(spins: Float[np.ndarray, "s r"]) -> NDArray[Any]:
        energies, orbitals = mf.eig(_fock(mf, integrator, core, spins), overlap)
        return np.asarray(mf.make_rdm1(orbitals, mf.get_occ(energies, orbitals)))

    def output(found: NDArray[Any]) -> Float[np.ndarray, "s r"]:
        each = found if _unrestricted(mf) else found[None]
        kpts = np.reshape(_kpts(mf), (-1, 3))
        return np.stack([np.ravel(integrator.get_rho(mf.cell, one, None, kpts)) for one in each])

    return solved(_mixed(components, lambda spins: output(solved(spins))))


def fock(mf: Any, density: Volume) -> NDArray[Any]:
    """F[ρ] of a density that fits ``needs_of(mf)``, at the k-points of a periodic ``mf``: axes as of ``dm0``."""
    integrator = _integrator(mf)
    return _fock(mf, integrator, mf.get_hcore(), _spins(mf, _on_mesh(mf, integrator, density)))


def _fock(mf: Any, integrator: Any, core: NDArray[Any], spins: Float[np.ndarray, "s r"]) -> NDArray[Any]:
    potentials = _potentials(mf, integrator, spins) * (mf.cell.vol / spins.shape[1])
    # PySCF's second multigrid integrator leaves the long range of the pseudopotentials to the Hartree potential.
    if (local := getattr(integrator, "vpplocG_part1", None)) is not None:
        potentials = potentials + np.reshape(local, (1, -1))
    each = np.stack([core + _matrix_of(mf, integrator, one, core.shape) for one in potentials])
    return each if _unrestricted(mf) else np.asarray(each[0])


def _mixed(density: Float[np.ndarray, "s r"], response: Callable[..., NDArray[Any]]) -> Float[np.ndarray, "s r"]:
    """The mixture of a density and its response whose residual is smallest, as far as it is linear."""
    first = response(density) - density
    near = density + STEP * first
    second = response(near) - near
    change = first - second
    way = float(np.vdot(change, first) / max(float(np.vdot(change, change)), 1e-300))
    way = min(max(way, 0.0), FARTHEST / STEP)
    return np.asarray(density + way * STEP * first + STEP * (first - way * change))


def _potentials(mf: Any, integrator: Any, spins: Float[np.ndarray, "s r"]) -> Complex[np.ndarray, "s r"]:
    """Waves of V_H + V_xc on the mesh, for each spin; hartree."""
    from scipy.fft import irfftn, rfftn

    tools = importlib.import_module("pyscf.pbc.tools")
    cell, mesh = mf.cell, [int(n) for n in integrator.mesh]
    half = np.s_[..., : mesh[2] // 2 + 1]
    vectors = [np.reshape(axis, mesh)[half] for axis in _slopes_of_waves(cell, mesh)]
    waves = [rfftn(each.reshape(mesh)) for each in spins]
    hartree = sum(waves) * np.reshape(tools.get_coulG(cell, mesh=mesh), mesh)[half]
    name = str(mf.xc) if semilocal(mf) else SEMILOCAL
    kind = integrator._xc_type(name)
    values = spins[:, None]
    if kind == "GGA":
        slopes = [[irfftn(1j * axis * each, mesh).ravel() for axis in vectors] for each in waves]
        values = np.concatenate([values, slopes], axis=1)
    single, counted = len(spins) == 1, spins.sum(axis=0) >= FLOOR
    given = values[..., counted] if kind == "GGA" else values[:, 0, counted]
    derivatives = np.zeros(values.shape)
    derivatives[..., counted] = integrator.eval_xc_eff(
        name, given[0] if single else given, deriv=1, xctype=kind, spin=0 if single else 1
    )[1].reshape(*values.shape[:2], -1)
    found = []
    for local, *parts in derivatives.reshape(*values.shape[:2], *mesh):
        smooth = hartree - sum(1j * axis * rfftn(part) for axis, part in zip(vectors, parts, strict=False))
        found.append(tools.fft((irfftn(smooth, mesh) + local).ravel(), mesh))
    return np.stack(found)


def _slopes_of_waves(cell: Any, mesh: list[int]) -> Float[np.ndarray, "3 r"]:
    """Vectors of the waves, 1/bohr, without the part of the shortest waves of an even axis, whose slope is 0 at all
    points."""
    whole = [np.fft.fftfreq(n, 1 / n) for n in mesh]
    for numbers in whole:
        if len(numbers) % 2 == 0:
            numbers[len(numbers) // 2] = 0
    return np.asarray(
        np.stack(np.meshgrid(*whole, indexing="ij"), axis=-1).reshape(-1, 3) @ cell.reciprocal_vectors()
    ).T


def _matrix_of(mf: Any, integrator: Any, potential: Complex[np.ndarray, " r"], shape: tuple[int, ...]) -> NDArray[Any]:
    """A potential on the mesh between orbitals; PySCF has no public name for it."""
    module = importlib.import_module(
        next(m.__module__ for m in type(integrator).__mro__ if "multigrid" in m.__module__)
    )
    found = module._get_j_pass2(integrator, potential, kpts=np.reshape(_kpts(mf), (-1, 3)))
    return np.asarray(found).reshape(shape)


def _of_molecule(mf: Any, density: Volume) -> NDArray[Any]:
    """A molecule in the box of the density: its orbitals are the same."""
    from scipy.fft import next_fast_len

    gto, dft = (importlib.import_module(f"pyscf.pbc.{name}") for name in ("gto", "dft"))
    lattice, mol = density.structure.lattice, mf.mol
    mesh = [int(next_fast_len(int(np.ceil(side / SPACING)), real=True)) for side in lattice.abc]
    atoms = [(mol.atom_symbol(k), place) for k, place in enumerate(density.structure.cart_coords / BOHR)]
    cell = gto.Cell(
        atom=atoms, unit="B", a=lattice.matrix / BOHR, basis=mol._basis, pseudo=mol._pseudo, ecp=mol._ecp,
        mesh=mesh, charge=mol.charge, spin=mol.spin, cart=mol.cart, verbose=0, precision=1e-7,
    )  # fmt: skip
    cell.build()
    inside = (dft.UKS if _unrestricted(mf) else dft.RKS)(cell).multigrid_numint()
    inside.xc = getattr(mf, "xc", SEMILOCAL)
    return matrix(inside, density)


def _on_mesh(mf: Any, integrator: Any, density: Volume) -> Volume:
    """A density interpolated to the mesh by waves.

    A grid that is coarser than the mesh has the cores of the atoms as values without the waves between them. Their
    shape is taken from PySCF's own start: it is added on the mesh, and what the grid has of it is subtracted.
    """
    shape = tuple(int(n) for n in integrator.mesh)
    if density.grid.shape == shape:
        return density
    fields = {name: fourier(values, density.grid, shape)[0] for name, values in density.fields.items()}
    if any(n < m for n, m in zip(density.grid.shape, shape, strict=True)):
        guess = np.asarray(mf.get_init_guess())
        total = guess.sum(axis=0) if _unrestricted(mf) else guess
        kpts = np.reshape(_kpts(mf), (-1, 3))
        atoms = np.reshape(integrator.get_rho(mf.cell, total, None, kpts), shape) / BOHR**3
        seen, _ = fourier(sampled(atoms, density.grid.shape), density.grid, shape)
        fields["total"] = fields["total"] + atoms - seen
    return replace(density, grid=Grid.of(density.grid.vectors, shape), fields=fields, augmentation={})


def sampled(values: Float[np.ndarray, "*grid"], shape: tuple[int, ...]) -> Float[np.ndarray, "*points"]:
    """A function of waves at the points of another grid; there, waves that differ by the number of points are equal."""
    waves = np.zeros(shape, complex)
    places = [np.fft.fftfreq(n, 1 / n).astype(int) % m for n, m in zip(values.shape, shape, strict=True)]
    np.add.at(waves, np.ix_(*places), np.fft.fftn(values))
    return np.asarray(np.fft.ifftn(waves).real * (waves.size / values.size))


def _spins(mf: Any, density: Volume) -> Float[np.ndarray, "s r"]:
    """The density, or its two spins, in e/bohr³. Without a magnetisation the spins are as the numbers of electrons."""
    total = density.fields["total"].ravel() * BOHR**3
    if not _unrestricted(mf):
        return total[None]
    if "magnetisation" in density.fields:
        magnetisation = density.fields["magnetisation"].ravel() * BOHR**3
        return np.stack([(total + magnetisation) / 2, (total - magnetisation) / 2])
    up, down = mf.mol.nelec
    return np.asarray(np.stack([total * up, total * down]) / (up + down))


def semilocal(mf: Any) -> bool:
    """Whether the functional is one of the density and its gradient."""
    name = str(getattr(mf, "xc", ""))
    numint: Any = getattr(mf, "_numint", None)
    return bool(name) and numint._xc_type(name) in ("LDA", "GGA") and not numint.libxc.is_hybrid_xc(name)


def _integrator(mf: Any) -> Any:
    """Of ``mf``, where it is one of PySCF's multigrids; else one for these Fock matrices alone."""
    multigrid = importlib.import_module("pyscf.pbc.dft.multigrid")
    found = getattr(mf, "_numint", None)
    if isinstance(found, multigrid.MultiGridNumInt):
        return found
    return multigrid.MultiGridNumInt(mf.cell)


def _periodic(mf: Any) -> bool:
    return hasattr(mf.mol, "lattice_vectors")


def _unrestricted(mf: Any) -> bool:
    return bool(mf.istype("UHF") or mf.istype("KUHF"))


def _kpts(mf: Any) -> NDArray[np.float64]:
    kpts = getattr(mf, "kpts", None)
    return np.asarray(mf.kpt if kpts is None else kpts, float)


def _level(mf: Any) -> Level:
    """The functional, and the pseudopotentials where they are named."""
    given = getattr(mf.mol, "pseudo", None)
    names = {"*": given} if isinstance(given, str) else given if isinstance(given, dict) else {}
    named = {symbol: name.lower() for symbol, name in names.items() if isinstance(name, str)}
    return Level(str(getattr(mf, "xc", "hf")).lower().replace(" ", ""), named)
