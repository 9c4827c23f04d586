"""What may stand in a setting, and what is said where something else does."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy import values


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.flag, "TRUE", True),
        (values.flag, "0", False),
        (values.one_of("a", "b"), "b", "b"),
        (values.database, "sqlite:///farebox.db", "sqlite:///farebox.db"),
        (
            values.database,
            "postgresql://me:pw@db:5432/farebox?ssl=require",
            "postgresql://me:pw@db:5432/farebox?ssl=require",
        ),
        (values.database, "postgres://db/farebox", "postgres://db/farebox"),
        (values.names, " a, b ,,", ("a", "b")),
        (values.routes, "/v1/x,/v1/y", ("/v1/x", "/v1/y")),
        (values.seconds, "0.5", 0.5),
        (values.usd, "0.05", 50_000_000_000),
        (values.count, "200", 200),
        (values.size, "4GiB", 4 * 2**30),
        (values.size, "512 MiB", 512 * 2**20),
        (values.size, "1000", 1000),
        (values.size, "7B", 7),
        (values.retention, "0", 0),
        (values.retention, "62", 62),
    ],
)
def test_a_value(parse: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (values.flag, "perhaps", "true or false"),
        (values.one_of("a", "b"), "c", "one of a, b"),
        (values.zone, "Mars/Phobos", "time zone"),
        (values.database, "sqlite:///", "must be sqlite:///PATH or postgresql://"),
        (values.database, "postgresql://db", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        (values.database, "mysql://db/farebox", "must be sqlite"),
        (values.routes, "/v2/x", "must be a path"),
        (values.seconds, "-1", "seconds"),
        (values.seconds, "inf", "seconds"),
        (values.usd, "a dollar", "US dollars"),
        (values.count, "1e3", "whole number"),
        (values.size, "4 GB of it", "bytes"),
        (values.retention, "61", "62 days or more"),
    ],
)
def test_what_is_none(parse: Callable[[str], Any], text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:hidden@db:5432/farebox", "postgresql://me:***@db:5432/farebox"),
        ("postgresql://me:hid@den@db/farebox", "postgresql://me:***@db/farebox"),
        ("postgresql://me@db/farebox", "postgresql://me@db/farebox"),
        ("sqlite:///farebox.db", "sqlite:///farebox.db"),
    ],
)
def test_a_password_is_not_shown(address: str, shown: str) -> None:
    assert values.without_password(address) == shown
