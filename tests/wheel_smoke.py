"""Build the wheel and run its commands where no source is in sight.

The new environment sees this one's libraries through a path file, which carries no editable installs along:
only the wheel can provide `fusionapp`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent

EXPERIMENT = """
name = "smoke"
[dataset]
train = "train.csv"
test = "test.csv"
[encoders.lexical]
adapter = "lexical"
[train]
seeds = 2
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(list(map(str, command)), cwd=cwd, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Build, install, extract, train, evaluate, predict, verify."""
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        run(sys.executable, "-m", "build", "--outdir", work / "dist", ROOT, cwd=ROOT)
        [wheel] = (work / "dist").glob("*.whl")
        environment = work / "environment"
        venv.create(environment, with_pip=False)
        python = environment / "bin" / "python"
        run(
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "--no-deps",
            "--quiet",
            wheel,
            cwd=work,
        )
        site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=work).strip()
        (Path(site) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
        imported = Path(run(python, "-c", "import fusionapp; print(fusionapp.__file__)", cwd=work).strip())
        assert environment in imported.parents, f"{imported} is not the wheel's"
        use(environment / "bin" / "fusionapp", work)
    print(f"wheel smoke test passed: {wheel.name}")


def use(fusionapp: Path, work: Path) -> None:
    """The whole job on two easy classes."""
    rows = [
        f"the {word} number {n},{label}"
        for n in range(40)
        for word, label in (("cat", "pet"), ("car", "ride"))
    ]
    (work / "train.csv").write_text("text,label\n" + "\n".join(rows[:60]) + "\n")
    (work / "test.csv").write_text("text,label\n" + "\n".join(rows[60:]) + "\n")
    (work / "smoke.toml").write_text(EXPERIMENT)
    run(fusionapp, "--help", cwd=work)
    run(fusionapp, "schema", cwd=work)
    run(fusionapp, "extract", "smoke.toml", cwd=work)
    run(fusionapp, "train", "smoke.toml", cwd=work)
    result = json.loads(run(fusionapp, "evaluate", "smoke.toml", "--json", cwd=work))
    assert result["result"]["accuracy"]["mean"] == 1.0, result
    (work / "new.txt").write_text("one more cat\n")
    prediction = json.loads(run(fusionapp, "predict", "runs/smoke", "new.txt", cwd=work))
    assert prediction["label"] == "pet", prediction
    assert json.loads(run(fusionapp, "verify", "runs/smoke", "--json", cwd=work))["ok"]


if __name__ == "__main__":
    main()
