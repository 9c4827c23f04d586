"""Which calls a scope means, and that the index finds just those."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution import Attribution
from billing.budgets import Budget
from billing.charges import Call
from billing.scopes import EVERYTHING, Index, Scope

AT = datetime(2026, 1, 1, tzinfo=UTC)


def call(model: str | None = None, tags: dict[str, str] | None = None, **who: str | None) -> Call:
    return Call("1", AT, "chat", "POST", "/", Attribution(**who, tags=tags or {}), "r", model)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scope", "covered", "not_covered"),
    [
        ({}, call(), None),
        ({"team": ("search",)}, call(team="search"), call(team="ads")),
        ({"team": ("search",)}, call(team="search", key="k"), call()),
        ({"team": ("search", "ads")}, call(team="ads"), call(team="ops")),
        ({"team": ("search",), "user": ("u",)}, call(team="search", user="u"), call(team="search", user="v")),
        ({"key": ("k",)}, call(key="k"), call(key="K")),
        ({"project": ("p",)}, call(project="p"), call(team="p")),
        ({"tag:env": ("prod",)}, call(tags={"env": "prod"}), call(tags={"env": "dev"})),
        ({"tag:env": ("prod",)}, call(tags={"env": "prod", "x": "y"}), call(tags={"stage": "prod"})),
        ({"model": ("gpt-4o",)}, call("gpt-4o"), call("gpt-4o-mini")),
        ({"model": ("gpt-4o",)}, call("gpt-4o-2024-11-20"), call()),
        ({"model": ("gpt-4o",)}, call("ft:gpt-4o-2024-08-06:acme::abc"), call("ft:gpt-4o-mini-2024-07-18:acme::abc")),
        ({"model": ("gpt-4o-2024-11-20",)}, call("gpt-4o-2024-11-20"), call("gpt-4o-2024-08-06")),
        ({"model": ("ft:gpt-4o:acme::abc",)}, call("ft:gpt-4o:acme::abc"), call("gpt-4o")),
    ],
)
def test_scopes(scope: dict[str, tuple[str, ...]], covered: Call, not_covered: Call | None) -> None:
    assert Scope(scope).covers(covered)
    assert not_covered is None or not Scope(scope).covers(not_covered)


def test_a_dimension_can_be_left_open() -> None:
    scope = Scope({"team": ("search",), "model": ("gpt-4o",)})
    assert scope.without("model") == Scope({"team": ("search",)})
    assert scope.without("key") == scope


def test_a_scope_reads_as_it_was_set() -> None:
    assert str(Scope({"team": ("search", "ads"), "tag:env": ("prod",)})) == "tag:env=prod team=search team=ads"
    assert str(EVERYTHING) == "everything"


values = st.sampled_from(("a", "b", "b-2026-01-01"))
scopes = st.dictionaries(
    st.sampled_from(("team", "key", "project", "user", "model", "tag:a")), st.lists(values, min_size=1).map(tuple)
).map(Scope)
maybe = st.none() | values
models = st.sampled_from((None, "a", "b-2026-01-01", "b"))
calls = st.builds(
    lambda model, team, key, project, user, tag: call(
        model, {"a": tag} if tag else {}, team=team, key=key, project=project, user=user
    ),
    models, maybe, maybe, maybe, maybe, maybe,
)  # fmt: skip


@given(st.lists(scopes), calls)
def test_the_index_finds_each_thing_that_covers_a_call_once(found: list[Scope], asked: Call) -> None:
    budgets = [Budget(str(number), 1, scope=scope) for number, scope in enumerate(found)]
    names = sorted(budget.name for budget in Index(budgets).covering(asked))
    assert names == sorted(budget.name for budget in budgets if budget.scope.covers(asked))
