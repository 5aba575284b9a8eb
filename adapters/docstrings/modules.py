"""Python source files by label, and the docstrings in one. Nothing is ever imported."""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

import attrs

_LEFT_OUT = frozenset(
    {
        "__pycache__", "_vendor", "_vendored", "vendor", "vendored", "_vendored_packages", "third_party",
        "externals", "extern", "test", "tests", "_tests", "idle_test", "site-packages", "dist-packages",
        "node_modules",
    }
)  # fmt: skip
# Rows of a module are capped: larger files take most of the parsing time and give no more rows.
_MAX_BYTES = 100_000

Definition: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def stable_key(*parts: object) -> bytes:
    """A SHA-256 to order by: the same on every machine, unlike directory order or `hash`."""
    return sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()


@attrs.frozen
class ModuleFile:
    """One module's source.

    Attributes:
        name: its dotted name.
        path: the file.
        size: bytes.
    """

    name: str
    path: str
    size: int

    def docstrings(self) -> Iterator[tuple[str, str]]:
        """(qualified name, docstring) of the module ("") and of each class and function, in source order.

        A file that is no Python of this version, as templates and Python 2 leftovers are, has none.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the package's own escapes are not ours to report
                tree = ast.parse(Path(self.path).read_bytes())
        except (SyntaxError, ValueError, RecursionError, OSError):
            return
        yield from _walk(tree, "")


def _walk(node: Definition, name: str) -> Iterator[tuple[str, str]]:
    docstring = ast.get_docstring(node, clean=False)
    if docstring:
        yield name, docstring
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return  # functions inside functions are nobody's interface
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _walk(child, f"{name}.{child.name}" if name else child.name)


def find_packages(root: Path) -> Iterator[str]:
    """Top-level packages under a directory of installed packages, by name."""
    if not root.is_dir():
        return
    for entry in sorted(root.iterdir(), key=lambda path: path.name):
        if (entry / "__init__.py").is_file() and entry.name.isidentifier() and entry.name not in _LEFT_OUT:
            yield entry.name


def find_modules(root: Path, names: Iterable[str]) -> list[ModuleFile]:
    """Modules of top-level packages and modules under `root`, ordered by a hash of their names.

    Tests, vendored copies and caches are left out.
    """
    found = [module for name in names for module in _modules_of(root, name)]
    return sorted(found, key=lambda module: stable_key(module.name))


def _modules_of(root: Path, name: str) -> Iterator[ModuleFile]:
    single = root / f"{name}.py"
    if single.is_file():
        yield ModuleFile(name, str(single), single.stat().st_size)
    # Plain strings: this looks at tens of thousands of files, and pathlib would take longer than the disk.
    for directory, folders, files in os.walk(root / name):
        folders[:] = [folder for folder in folders if folder not in _LEFT_OUT]
        for file in files:
            if not file.endswith(".py") or file.startswith("test_") or file == "conftest.py":
                continue
            path = os.path.join(directory, file)  # noqa: PTH118
            size = os.stat(path).st_size  # noqa: PTH116
            if size <= _MAX_BYTES:
                dotted = path[len(str(root)) + 1 : -len(".py")].replace(os.sep, ".")
                yield ModuleFile(dotted.removesuffix(".__init__"), path, size)
