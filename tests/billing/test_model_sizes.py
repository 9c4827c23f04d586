import pytest

from billing.model_sizes import read_sizes, size_of

SOURCES = '[sources.a]\ntext = "a page"\nseen_on = 2026-11-23\n'


@pytest.mark.parametrize(
    ("model", "context", "output"),
    [
        ("gpt-4o", 128_000, 16_384),
        ("gpt-4o-2024-08-06", 128_000, 16_384),
        ("gpt-4o-2024-05-13", 128_000, 4_096),  # a snapshot of its own size
        ("ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34", 128_000, 16_384),
        ("gpt-3.5-turbo-instruct:20230824-v2", 16_385, 4_097),
        ("gpt-5-pro", 400_000, 272_000),
        ("gpt-6.1-sol", 1_050_000, 128_000),
    ],
)
def test_a_model_is_as_large_as_its_base(model: str, context: int, output: int) -> None:
    size = size_of(model)
    assert size is not None
    assert (size.context, size.output) == (context, output)


@pytest.mark.parametrize("model", [None, "", "never-heard-of", "gpt-4o-extra-large", "gpt-realtime"])
def test_a_size_is_never_a_neighbours(model: str | None) -> None:
    assert size_of(model) is None


def test_every_size_says_where_it_was_seen_and_none_claims_to_be_openais_own() -> None:
    for model in ("gpt-4o", "gpt-5", "gpt-6-astra", "gpt-6.2-sol"):
        size = size_of(model)
        assert size is not None
        assert "second-hand" in size.source
        assert not size.verified


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('models = ["a"]\ncontext = 10\noutput = 11\nsource = "a"', "an answer of 11 in a context of 10"),
        ('models = ["a"]\ncontext = 10\noutput = 0\nsource = "a"', "an answer of 0"),
        ('models = ["a"]\ncontext = 10\noutput = true\nsource = "a"', "an answer of True"),
        ('models = ["a"]\ncontext = 10\noutput = 5\nsource = "b"', "no source 'b'"),
        ('models = ["a", "a"]\ncontext = 10\noutput = 5\nsource = "a"', "a has two sizes"),
    ],
)
def test_a_wrong_table_is_refused(row: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_sizes(f"{SOURCES}[[size]]\n{row}\n")
