"""The calendar of endings, in the order of days."""

from datetime import UTC, date, datetime

from billing import retirements, training_models
from billing.endings import Ending, calendar, rows
from billing.retirements import Retirement
from billing.training_models import Closing, Trainable, Training

NOW = datetime(2026, 11, 24, 18, tzinfo=UTC)
TRAINING = Training(
    {"gpt-4.1": Trainable(("supervised",), None, "a guide")},
    Closing(date(2027, 1, 6), ((date(2026, 5, 7), "newcomers"),), "a page"),
)
ENDS = {
    name: Retirement(datetime(*day, tzinfo=UTC), source)
    for name, day, source in [
        ("whisper-1", (2027, 2, 26), "a page"),
        ("gpt-4.1", (2027, 1, 14), "a page"),
        ("o3-b", (2027, 1, 14), "a page"),
        ("o3-a", (2027, 1, 14), "a page"),
        ("o3-c", (2027, 1, 14), "another page"),
    ]
}


def test_what_ends_when_and_for_whom() -> None:
    trained = "shut down, with all models trained from them"
    assert calendar(TRAINING, ENDS) == [
        Ending(date(2026, 5, 7), "no new fine-tuning jobs", "newcomers", "a page"),
        Ending(date(2027, 1, 6), "last day for new fine-tuning jobs", "everyone", "a page"),
        Ending(date(2027, 1, 14), "shut down", "everyone", "a page", ("o3-a", "o3-b")),
        Ending(date(2027, 1, 14), "shut down", "everyone", "another page", ("o3-c",)),
        Ending(date(2027, 1, 14), trained, "everyone", "a page", ("gpt-4.1",)),
        Ending(date(2027, 2, 26), "shut down", "everyone", "a page", ("whisper-1",)),
    ]


def test_days_are_counted_from_today() -> None:
    told = {row["on"]: row["days_left"] for row in rows(calendar(TRAINING, ENDS), NOW)}
    assert told == {"2026-05-07": -201, "2027-01-06": 43, "2027-01-14": 51, "2027-02-26": 94}


def test_the_shipped_calendar_has_every_day_of_the_wind_down() -> None:
    found = calendar(training_models.known(), retirements.announced())
    days = {(str(ending.on), ending.what) for ending in found}
    assert days >= {
        ("2026-05-07", "no new fine-tuning jobs"),
        ("2026-07-02", "no new fine-tuning jobs"),
        ("2026-10-23", "shut down, with all models trained from them"),
        ("2027-01-06", "last day for new fine-tuning jobs"),
        ("2027-01-14", "shut down, with all models trained from them"),
    }
    last = next(ending for ending in found if str(ending.on) == "2027-01-14")
    assert {"gpt-4o-2024-08-06", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini"} <= {*last.models}
    assert {model for ending in found for model in ending.models} == {*retirements.announced()}
    assert all(ending.source for ending in found)
