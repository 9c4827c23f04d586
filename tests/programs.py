"""Programs that are no Python packages. Where one is missing a test says so and is skipped; in CI it fails."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def program(*names: str, within: Path | None = None) -> str:
    """The path of the first of these names that is installed (Debian's and the makers' names may differ), or that
    lies within a folder: a program that came with a Python package."""
    for name in names:
        if found := shutil.which(name, path=within):
            return found
    missing = f"{' or '.join(names)} is not installed"
    if os.environ.get("CI"):
        pytest.fail(f"{missing}, and in CI nothing may be missing: see .ci/run")
    pytest.skip(missing)


def said(*command: object) -> str:
    """What a command says on standard output; it must end well."""
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout
