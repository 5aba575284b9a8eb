"""A tiny tree of installed packages, and of a standard library, for the docstring source."""

from __future__ import annotations

from pathlib import Path

_SUBJECTS = ("rivers", "mountains", "harbours", "bridges", "orchards", "villages")
_VERBS = ("Counts", "Paints", "Measures", "Lists")


def write_packages(root: Path) -> tuple[Path, Path]:
    """Write packages `alpha` and `beta` and a standard library with `asyncio`; return (site_packages, stdlib)."""
    site, stdlib = root / "site-packages", root / "stdlib"
    for name in ("alpha", "beta"):
        write_package(site, name)
    write_package(stdlib, "asyncio")
    return site, stdlib


def write_package(root: Path, name: str) -> None:
    """Six modules of four functions each, every docstring another one, naming its package."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('never imported')\n", encoding="utf-8")
    for subject in _SUBJECTS:
        functions = (
            f"def {verb.lower()}():\n    '''{verb} all {subject} that {name} finds within {len(name)} miles.'''\n"
            for verb in _VERBS
        )
        (folder / f"{subject}.py").write_text("\n".join(functions), encoding="utf-8")
