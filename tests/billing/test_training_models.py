"""What can be fine-tuned: the table that ships, and how one is read."""

from datetime import date

import pytest

from billing.training_models import known, read

ROW = '[[model]]\nmodels = ["a"]\nmethods = ["supervised"]\nsource = "s"\n'
CLOSING = '[closing]\nlast_day = 2027-01-06\nsource = "s"\n'


@pytest.mark.parametrize(
    ("model", "methods", "context"),
    [
        ("gpt-4.1-mini-2025-04-14", ("supervised", "preference"), 65_536),
        ("gpt-4o-2024-08-06", ("supervised", "preference"), 65_536),
        ("ft:gpt-4o-mini-2024-07-18:acme::AbC", ("supervised", "preference"), 65_536),
        ("gpt-3.5-turbo-0125", ("supervised",), 16_385),
        ("gpt-3.5-turbo-0613", ("supervised",), 4_096),
        ("davinci-002", ("supervised",), 16_384),
        ("o4-mini-2025-04-16", ("reinforcement",), None),
    ],
)
def test_what_is_known_of_a_model(model: str, methods: tuple[str, ...], context: int | None) -> None:
    found = known().of(model)
    assert found
    assert (found.methods, found.context) == (methods, context)
    assert found.source


@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-4", "no-such-model", ""])
def test_what_is_not_known(model: str) -> None:
    assert known().of(model) is None


def test_the_end_of_fine_tuning() -> None:
    closing = known().closing
    assert closing.last_day == date(2027, 1, 6)
    assert [day for day, _ in closing.earlier] == [date(2026, 5, 7), date(2026, 7, 2)]


@pytest.mark.parametrize(
    "text",
    ["", ROW, CLOSING + ROW + ROW, CLOSING + ROW.replace('source = "s"', ""), CLOSING.replace("2027-01-06", '"soon"'),
     CLOSING + ROW.replace('["supervised"]', "[]"), CLOSING + ROW.replace('["a"]', "[]")],
)  # fmt: skip
def test_a_wrong_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"needs|twice"):
        read(text)


def test_a_right_one_is_read() -> None:
    assert read(CLOSING + ROW).models["a"].methods == ("supervised",)
