"""Attribution: what is not said is None, and what was said stays."""

from dataclasses import FrozenInstanceError, fields

import pytest

from billing.attribution import Attribution


def test_what_is_not_said_is_none() -> None:
    nobody = Attribution()
    assert [getattr(nobody, field.name) for field in fields(nobody) if field.name != "tags"] == [None] * 5
    assert nobody.tags == {}


def test_two_calls_do_not_share_their_tags() -> None:
    assert Attribution().tags is not Attribution().tags


def test_who_pays_cannot_be_changed_afterwards() -> None:
    with pytest.raises(FrozenInstanceError):
        Attribution(team="harbour").team = "ferry"  # type: ignore[misc]
