"""Known vulnerabilities of what is installed, by pip-audit: `python .ci/audit.py PYTHON` (its environment's).

A vulnerability for which there is a mended release ends in 1. One without is printed: nothing can be done but
to know of it. Where pip-audit is not to be had, or cannot reach its database, that is said: no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

TIMEOUT_S = 300


def audited(python: str, folder: Path) -> dict | str:
    """pip-audit's report on the environment of `python`, or why there is none; installed in `folder`."""
    venv.create(folder, with_pip=True)
    own = folder / "bin" / "python"
    try:
        quiet = ["--disable-pip-version-check", "install", "-qq", "pip-audit>=2.7"]
        subprocess.run([own, "-m", "pip", *quiet], check=True, timeout=TIMEOUT_S, capture_output=True)
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        path = subprocess.run(
            [python, "-c", where], check=True, text=True, capture_output=True
        ).stdout.strip()
        words = ["--path", path, "--format", "json", "--progress-spinner", "off", "--skip-editable"]
        done = subprocess.run(
            [own, "-m", "pip_audit", *words], timeout=TIMEOUT_S, text=True, capture_output=True
        )
        return json.loads(done.stdout)
    except subprocess.CalledProcessError:
        return "pip-audit is not to be had here"
    except subprocess.TimeoutExpired:
        return f"pip-audit gave no answer within {TIMEOUT_S} s"
    except ValueError:
        return (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1][:300]


def findings(report: dict) -> tuple[list[str], list[str]]:
    """(those with a mended release, those without), a line each."""
    mended, open_ = [], []
    for package in report["dependencies"]:
        for found in package.get("vulns", ()):
            line = f"{package['name']} {package['version']}: {found['id']}"
            if found["fix_versions"]:
                mended.append(
                    f"{line}, mended in {', '.join(found['fix_versions'])}: raise it in pyproject.toml"
                )
            else:
                open_.append(f"{line}, without a mended release")
    return mended, open_


def main(python: str) -> int:
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        report = audited(python, Path(folder) / "venv")
    if isinstance(report, str):
        print(f"no audit of the dependencies: {report}")
        return 0
    mended, open_ = findings(report)
    for line in (*mended, *open_):
        print(f"audit: {line}")
    print(f"audit: {len(report['dependencies'])} packages, {len(mended) + len(open_)} known vulnerabilities")
    return int(bool(mended))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
