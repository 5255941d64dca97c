"""What an installation weighs: packages and megabytes that a requirement brings, by the metadata of this environment.

    python benchmarks/weight.py edframe 'edframe[all]' 'edframe[all,track]'

Packages are followed from requirement to requirement, as pip does. Sizes are those of the files that were installed,
without the bytecode that Python adds.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def brought(text: str) -> set[str]:
    """Names of all packages that a requirement installs. Raises SystemExit for one that this environment lacks."""
    waiting, met, distributions = [Requirement(text)], set(), set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in met:
            continue
        met.add((name, extras))
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here: install all of requirements.txt to weigh it") from None
        distributions.add(name)
        for inner in map(Requirement, requires):
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                waiting.append(inner)
    return distributions


def megabytes(name: str) -> float:
    """Of the files of a package, without bytecode."""
    files = [file for file in distribution(name).files or () if file.suffix != ".pyc"]
    return sum(place.stat().st_size for file in files if (place := file.locate()).is_file()) / 1e6


if __name__ == "__main__":
    print("| requirement | packages | MB | of which torch |\n|---|---|---|---|")
    for text in sys.argv[1:] or ["edframe"]:
        names = brought(text)
        print(f"| `{text}` | {len(names)} | {sum(map(megabytes, names)):.0f} | {megabytes('torch'):.0f} |")
