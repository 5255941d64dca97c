"""The tables of restarts.md from restarts.jsonl, which restarts.py writes.

python docs/results/restart_page.py

Means over geometries. What is saved is 1 − (seconds + seconds before) / seconds from the code's own start, for each
geometry; its mean has the 95% interval of Student's t.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from pages import head, put, records
from restart_cases import CASES
from scipy import stats

PAGE, ROWS = Path(__file__).with_name("restarts.md"), Path(__file__).with_name("restarts.jsonl")
LOSSES = ("sinkhorn", "l1 + coulomb", "sinkhorn, equal", "l1 + coulomb, equal")


def rows() -> pd.DataFrame:
    """A row for each start, in the order of the cases; of one that was measured twice, the first."""
    table = pd.DataFrame(records(ROWS))
    table["before"] = table["before"].fillna(0)
    table["case"] = pd.Categorical(table["case"], list(CASES), ordered=True)
    return table.drop_duplicates(["case", "geometry", "start"]).sort_values("case", kind="stable")


def interval(values: pd.Series, digits: int = 0) -> str:
    """Mean, and its 95% interval where there are two values."""
    mean = f"{values.mean():.{digits}f}"
    if len(values) < 2 or values.std() == 0:
        return mean
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    return f"{mean} ({low:.{digits}f} to {high:.{digits}f})"


def saved(table: pd.DataFrame) -> pd.DataFrame:
    """Starts beside the default of their geometry: ``saved`` in %, ``fewer`` iterations."""
    default = table[table["start"] == "default"][["case", "geometry", "iterations", "seconds"]]
    joined = table.merge(default, on=["case", "geometry"], suffixes=("", "_default"))
    joined["saved"] = 100 * (1 - (joined["seconds"] + joined["before"]) / joined["seconds_default"])
    return joined


def starts(table: pd.DataFrame) -> str:
    lines = head("case", "start", "geometries", "NMAE, %", "Coulomb error, meV/e", "iterations", "s", "s before",
                 "saved net, %")  # fmt: skip
    chosen = saved(table[~table["start"].str.startswith("bands")])
    for (case, start), group in chosen.groupby(["case", "start"], observed=True, sort=False):
        error = "" if start in ("default", "own") else f"{group['nmae'].mean():.2g}"
        energy = f"{1e3 * group['coulomb'].mean():.2g}" if error else ""
        before = "" if start == "default" else f"{group['before'].mean():.2f}"
        net = "" if start == "default" else interval(group["saved"])
        lines.append(f"| {case} | {start} | {len(group)} | {error} | {energy} | {group['iterations'].mean():.1f} | "
                     f"{group['seconds'].mean():.2f} | {before} | {net} |")  # fmt: skip
    return "\n".join(lines)


def losses(table: pd.DataFrame) -> str:
    """Each loss against l1, geometry by geometry."""
    lines = head("case", "start", "geometries", "NMAE, %", "Coulomb error, meV/e", "below 1 Å⁻¹",
                 "iterations − those of l1", "s − those of l1")  # fmt: skip
    for case, group in table.groupby("case", observed=True, sort=False):
        base = group[group["start"] == "l1"].set_index("geometry")
        if not len(base):
            continue
        lines.append(f"| {case} | l1 | {len(base)} | {base['nmae'].mean():.2g} | {1e3 * base['coulomb'].mean():.2g} | "
                     f"{1e3 * base['low_g'].mean():.2g} | {base['iterations'].mean():.1f} in all | "
                     f"{base['seconds'].mean():.2f} in all |")  # fmt: skip
        for start in LOSSES:
            ours = group[group["start"] == start].set_index("geometry")
            shared = ours.index.intersection(base.index)
            if len(shared):
                ours, theirs = ours.loc[shared], base.loc[shared]
                lines.append(f"| {case} | {start} | {len(shared)} | {ours['nmae'].mean():.2g} | "
                             f"{1e3 * ours['coulomb'].mean():.2g} | {1e3 * ours['low_g'].mean():.2g} | "
                             f"{interval(ours['iterations'] - theirs['iterations'], 1)} | "
                             f"{interval(ours['seconds'] - theirs['seconds'], 2)} |")  # fmt: skip
    return "\n".join(lines)


def bands(table: pd.DataFrame) -> str:
    """Against an SCF and bands after it."""
    lines = head("density", "geometries", "s, bands", "s before", "s, SCF and bands", "saved, %", "rms error, meV",
                 "largest, meV")  # fmt: skip
    usual = table[table["start"] == "bands, own"].set_index(["case", "geometry"])["nscf"].rename("after")
    chosen = saved(table).join(usual, on=["case", "geometry"], how="inner")
    chosen["all"] = chosen["seconds_default"] + chosen["after"]
    chosen["saved"] = 100 * (1 - (chosen["seconds"] + chosen["before"]) / chosen["all"])
    for start, group in chosen[chosen["start"].str.startswith("bands")].groupby("start", sort=False):
        lines.append(f"| {start.removeprefix('bands, ')} | {len(group)} | {group['seconds'].mean():.2f} | "
                     f"{group['before'].mean():.2f} | {group['all'].mean():.2f} | {interval(group['saved'])} | "
                     f"{group['rms_mev'].mean():.1f} | {group['max_mev'].max():.1f} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    table = rows()
    for name, made in (("starts", starts), ("losses", losses), ("bands", bands)):
        put(PAGE, name, made(table) + "\n")


if __name__ == "__main__":
    main()
