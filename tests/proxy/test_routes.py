"""The free routes: a text that says each thing once."""

from collections import Counter

import pytest

from proxy.routes import ADMINISTRATION, FREE

LINES = [line for line in (FREE + ADMINISTRATION).splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_methods_and_a_path(line: str) -> None:
    *methods, path = line.split()
    assert methods
    assert {*methods} <= {"GET", "POST", "DELETE"}
    assert methods == sorted(methods, key=["GET", "POST", "DELETE"].index)
    assert path.startswith("/")
    assert all(part == "{id}" or part.replace("_", "").isalnum() for part in path.split("/")[1:])


def test_a_path_has_one_line() -> None:
    assert [path for path, times in Counter(line.split()[-1] for line in LINES).items() if times > 1] == []


def test_administration_is_the_organizations() -> None:
    administered = [line.split()[-1] for line in ADMINISTRATION.splitlines() if line]
    assert all(path.startswith(("/organization/", "/projects/")) for path in administered)
    assert not [line for line in FREE.splitlines() if "/organization" in line or "/projects" in line]
