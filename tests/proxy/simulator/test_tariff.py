import ast
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import proxy.simulator
from proxy.simulator import tariff
from proxy.simulator.tariff import Model, Usage

SHORT, LONG = 272_000, 272_001

LIST = [
    # model, tier, input tokens, dollars per million: input, cached, written for 30m, for 12h, output
    ("gpt-4o", "default", SHORT, "2.5 1.25 - - 10"),
    ("gpt-4o", "priority", SHORT, "4.25 2.125 - - 17"),
    ("gpt-4o-mini", "default", SHORT, "0.15 0.075 - - 0.6"),
    ("gpt-4o-mini", "priority", SHORT, "0.25 0.125 - - 1"),
    ("gpt-4.1", "default", SHORT, "2 0.5 - - 8"),
    ("gpt-4.1-mini", "priority", SHORT, "0.7 0.175 - - 2.8"),
    ("o3", "flex", SHORT, "1 0.25 - - 4"),
    ("o3", "priority", SHORT, "3.5 0.875 - - 14"),
    ("gpt-5-mini", "priority", SHORT, "0.45 0.045 - - 3.6"),
    ("gpt-5.4", "default", SHORT, "2.5 0.25 - - 15"),
    ("gpt-5.4", "default", LONG, "5 0.5 - - 22.5"),
    ("gpt-5.4", "flex", LONG, "2.5 0.25 - - 11.25"),
    ("gpt-5.4", "priority", SHORT, "5 0.5 - - 30"),
    ("gpt-5.4-mini", "default", LONG, "0.75 0.075 - - 4.5"),
    ("gpt-5.5", "priority", SHORT, "12.5 1.25 - - 75"),
    ("gpt-5.6-sol", "default", SHORT, "4 0.4 5 10 20"),
    ("gpt-5.6-sol", "default", LONG, "8 0.8 10 20 30"),
    ("gpt-5.6-terra", "flex", SHORT, "1 0.1 1.25 2.5 6"),
    ("gpt-5.6-luna", "priority", LONG, "0.8 0.08 1 2 3.6"),
    ("gpt-6-astra", "ultrafast", SHORT, "60 6 75 150 300"),
    ("gpt-6.1-sol", "default", LONG, "4 0.2 5 10 15"),
    ("gpt-6.1-sol", "ultrafast", SHORT, "12 0.6 15 30 60"),
    ("gpt-3.5-turbo-instruct", "default", SHORT, "1.5 - - - 2"),
    ("ft:gpt-4o-mini-2024-07-18:acme::AbC123", "default", SHORT, "0.3 0.15 - - 1.2"),
    ("ft:gpt-4o-2024-08-06:acme:support:AbC123", "default", SHORT, "3.75 1.875 - - 15"),
    ("ft:gpt-4.1-2025-04-14:acme:x:A:ckpt-step-8", "default", SHORT, "3 0.75 - - 12"),
    ("ft:gpt-4.1-mini-2025-04-14:acme:x:A", "default", SHORT, "0.8 0.2 - - 3.2"),
    ("ft:gpt-3.5-turbo-0125:acme:x:A", "default", SHORT, "3 - - - 6"),
    ("text-embedding-3-small", "default", SHORT, "0.02 - - - -"),
    ("text-embedding-3-large", "default", SHORT, "0.13 - - - -"),
]


@pytest.mark.parametrize(("name", "tier", "input_tokens", "row"), LIST)
def test_rates_are_those_of_the_published_list(name: str, tier: str, input_tokens: int, row: str) -> None:
    model = tariff.find(name)
    assert model
    expected = tuple(None if cell == "-" else Decimal(cell) for cell in row.split())
    assert tariff.rates(model, tier, input_tokens) == expected


@pytest.mark.parametrize(
    ("name", "tier", "input_tokens"),
    [
        ("gpt-4o", "flex", SHORT),
        ("gpt-5.4", "priority", LONG),
        ("gpt-5.6-sol", "ultrafast", SHORT),
        ("ft:gpt-4o-mini-2024-07-18:acme::A", "priority", SHORT),
        ("text-embedding-3-small", "flex", SHORT),
        ("gpt-4o", "batch", SHORT),
    ],
)
def test_what_is_not_offered_has_no_rates(name: str, tier: str, input_tokens: int) -> None:
    model = tariff.find(name)
    assert model
    assert tariff.rates(model, tier, input_tokens) is None


@pytest.mark.parametrize(
    ("asked", "served", "listed"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-5.4", "gpt-5.4-2026-03-05", "gpt-5.4"),
        ("gpt-5.6", "gpt-5.6-sol", "gpt-5.6-sol"),
        ("gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct:20230824-v2", "gpt-3.5-turbo-instruct"),
        ("ft:gpt-4o-mini:acme:s:1", "ft:gpt-4o-mini:acme:s:1", "ft:gpt-4o-mini"),
    ],
)
def test_a_name_finds_the_model_that_serves(asked: str, served: str, listed: str) -> None:
    assert tariff.find(asked) == Model(served, listed)


@pytest.mark.parametrize("name", ["gpt-4o-2024-05-13", "gpt-9", "ft:gpt-9:acme::1", "ft:gpt-4o", "ft:gpt-4o-mini", ""])
def test_a_name_that_is_not_listed_finds_nothing(name: str) -> None:
    assert tariff.find(name) is None


def test_every_kind_of_token_is_charged_once() -> None:
    sol = Model("gpt-5.6-sol", "gpt-5.6-sol")
    rates = tariff.rates(sol, "default", 10_000)
    assert rates
    usage = Usage(input=10_000, cached=2_000, write_30m=3_000, write_12h=1_000, output=500, reasoning=400)
    # 4,000 fresh × $4 + 2,000 × $0.40 + 3,000 × $5 + 1,000 × $10 + 500 × $20, per million
    assert tariff.cost(usage, rates) == Decimal("0.0518")


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("gpt-4o", Usage(input=10, write_30m=1)),
        ("gpt-3.5-turbo-instruct", Usage(input=10, cached=1)),
        ("text-embedding-3-small", Usage(input=10, output=1)),
        ("gpt-4o", Usage(input=10, cached=11)),
    ],
)
def test_tokens_that_are_not_sold_have_no_cost(name: str, usage: Usage) -> None:
    model = tariff.find(name)
    assert model
    rates = tariff.rates(model, "default", 10)
    assert rates
    with pytest.raises(ValueError, match="not sold"):
        tariff.cost(usage, rates)


@given(st.sampled_from(tariff.names()), st.integers(0, 2_000_000))
def test_a_cost_has_no_rounding_in_it(name: str, tokens: int) -> None:
    model = tariff.find(name)
    assert model
    rates = tariff.rates(model, "default", tokens)
    assert rates
    assert rates.input is not None
    assert tariff.cost(Usage(tokens), rates) * 1_000_000 == tokens * rates.input


def test_the_simulator_shares_nothing_with_billing() -> None:
    folder = Path(str(proxy.simulator.__file__)).parent
    imports = {
        module
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    ours = {module for module in imports if module.startswith(("billing", "proxy"))}
    assert ours
    assert all(module.startswith("proxy.simulator") for module in ours)
    assert "tiktoken" not in imports
