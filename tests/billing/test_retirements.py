from datetime import UTC, datetime

import pytest

from billing.retirements import announced, read, retirement_of

GOOD = '[[retirement]]\non = 2027-01-14\nsource = "a page"\nmodels = ["gpt-4o-mini", "o3-2025-04-16"]\n'


@pytest.mark.parametrize(
    ("model", "ends"),
    [
        ("gpt-4o-mini", True),
        ("gpt-4o-mini-2024-07-18", True),  # a snapshot of it
        ("ft:gpt-4o-mini-2024-07-18:acme::Ab12", True),  # fine-tuned
        ("o3-2025-04-16", True),
        ("ft:o3-2025-04-16:acme::Ab12", True),
        ("o3", False),  # the undated name goes on
        ("gpt-4o", False),
        ("gpt-4o-mini-tts", False),  # begins alike
        ("ft:gpt-4.1:gpt-4o-mini::x", False),
        ("", False),
    ],
)
def test_which_models_end(model: str, ends: bool) -> None:
    found = retirement_of(model, read(GOOD))
    assert (found.at if found else None) == (datetime(2027, 1, 14, tzinfo=UTC) if ends else None)


def test_a_fine_tuned_model_may_end_on_a_day_of_its_own() -> None:
    ends = {
        model: str(found.at.date())
        for model in ("davinci-002", "ft:davinci-002:acme::Ab12", "ft:gpt-3.5-turbo-0125:acme::Ab12", "sora-2-pro")
        if (found := retirement_of(model, announced()))
    }
    assert list(ends.values()) == ["2026-09-28", "2026-10-23", "2026-10-23", "2026-09-24"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("on = 2027-01-14\n", ""), "needs on"),
        (GOOD.replace('2027-01-14', '"2027-01-14"'), "needs on"),
        (GOOD.replace('source = "a page"\n', ""), "needs on"),
        (GOOD.replace('["gpt-4o-mini", "o3-2025-04-16"]', "[]"), "needs on"),
        (GOOD + GOOD, "retires twice"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(text)


def test_the_shipped_table() -> None:
    assert {str(it.at.date()) for it in announced().values()} >= {"2026-10-23", "2026-12-11", "2027-01-14"}
    assert announced()["gpt-4o-2024-08-06"].at == datetime(2027, 1, 14, tzinfo=UTC)
    assert "gpt-4o" not in announced()
    assert all(it.source.startswith("https://") for it in announced().values())
