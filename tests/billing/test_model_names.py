"""Model names taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.model_names import ModelName, parse, undated


@pytest.mark.parametrize(
    ("name", "base", "price_names"),
    [
        ("gpt-5.4", "gpt-5.4", ("gpt-5.4", "gpt-5.4")),
        ("gpt-5.4-2026-03-05", "gpt-5.4-2026-03-05", ("gpt-5.4-2026-03-05", "gpt-5.4")),
        ("gpt-4-0613", "gpt-4-0613", ("gpt-4-0613", "gpt-4-0613")),
        ("gpt-4o-2024-13-45", "gpt-4o-2024-13-45", ("gpt-4o-2024-13-45", "gpt-4o-2024-13-45")),
        ("2024-08-06", "2024-08-06", ("2024-08-06", "2024-08-06")),
        ("ft:gpt-4o-2024-08-06:acme::Ab1", "gpt-4o-2024-08-06", ("ft:gpt-4o-2024-08-06", "ft:gpt-4o")),
        ("ft:gpt-3.5-turbo:acme::Ab1", "gpt-3.5-turbo", ("ft:gpt-3.5-turbo", "ft:gpt-3.5-turbo")),
        ("davinci:ft-acme-2023-01-02-03-04-05", "davinci", ("davinci:ft", "davinci:ft")),
        (
            "gpt-4o-mini-2024-07-18.ft-0123-s",
            "gpt-4o-mini-2024-07-18",
            ("ft:gpt-4o-mini-2024-07-18", "ft:gpt-4o-mini"),
        ),
        (
            "gpt-3.5-turbo-instruct:20230824-v2",
            "gpt-3.5-turbo-instruct:20230824-v2",
            ("gpt-3.5-turbo-instruct:20230824-v2", "gpt-3.5-turbo-instruct"),
        ),
        ("openai/gpt-4o", "openai/gpt-4o", ("openai/gpt-4o", "openai/gpt-4o")),
        ("", "", ("", "")),
    ],
)
def test_base_and_price_names(name: str, base: str, price_names: tuple[str, str]) -> None:
    parsed = parse(name)
    assert parsed.base == base
    assert (parsed.price_name, parsed.undated_price_name) == price_names


@pytest.mark.parametrize(
    ("name", "organisation", "suffix", "job", "checkpoint"),
    [
        ("ft:gpt-4o-mini-2024-07-18:acme::AbC123", "acme", None, "AbC123", None),
        ("ft:gpt-4o-mini-2024-07-18:my-acme:support:AbC123", "my-acme", "support", "AbC123", None),
        ("ft:gpt-4o-mini-2024-07-18:acme:support:AbC123:ckpt-step-90", "acme", "support", "AbC123", 90),
        ("ft:gpt-4o-mini-2024-07-18:acme:support:AbC123:ckpt-step-x", "acme", "support", "AbC123", None),
        ("ft:gpt-4o-mini-2024-07-18", None, None, None, None),
        ("ft:", None, None, None, None),
        ("davinci:ft-my-acme-support-2023-01-02-03-04-05", "my-acme-support", None, None, None),
        ("davinci:ft-acme", "acme", None, None, None),
        ("gpt-4o-mini-2024-07-18.ft-0123-support", None, None, "0123-support", None),
    ],
)
def test_fine_tuned_names_say_whose_they_are(
    name: str, organisation: str | None, suffix: str | None, job: str | None, checkpoint: int | None
) -> None:
    parsed = parse(name)
    assert parsed.fine_tuned
    assert (parsed.organisation, parsed.suffix, parsed.job, parsed.checkpoint) == (
        organisation,
        suffix,
        job,
        checkpoint,
    )


def test_only_the_generation_of_fine_tunes_is_legacy() -> None:
    assert parse("davinci:ft-acme").legacy
    assert not parse("ft:davinci-002:acme::Ab1").legacy
    assert not parse("davinci-002").fine_tuned


def test_undated_takes_off_a_date_at_the_end_and_nothing_else() -> None:
    assert undated("gpt-4o-2024-08-06") == "gpt-4o"
    assert undated("gpt-4o-2024-08-06-preview") == "gpt-4o-2024-08-06-preview"
    assert undated("gpt-4o-1999-08-06") == "gpt-4o-1999-08-06"


@given(st.text(max_size=60) | st.from_regex(r"(ft:)?[a-z0-9.:-]{0,40}", fullmatch=True))
def test_no_name_is_too_strange_to_be_taken_apart(name: str) -> None:
    parsed = parse(name)
    assert parsed.name == name
    assert parsed.base in name
    assert parsed.fine_tuned or parsed == ModelName(name, name)
