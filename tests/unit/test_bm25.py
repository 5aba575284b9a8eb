"""What BM25's library does as it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SOURCES

CODE = """
import sys
from fusionapp.adapters.bm25.ranker import Bm25
print(Bm25().fit(["a cat", "a dog"]).rank(["cat"], 1).rows.tolist(), "jax" in sys.modules)
import jax
"""


def test_bm25_leaves_jax_alone_which_would_take_the_gpus_memory(tmp_path: Path) -> None:
    pytest.importorskip("bm25s", reason="the extra `retrieve` is not installed")
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("print('jax is imported')")
    (tmp_path / "jax" / "lax.py").write_text("")

    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(SOURCES)])},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == ["[[0]] False", "jax is imported"]
