import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from webhook import webhook

from billing.alerts import Alert, Kind, Level
from billing.notify import Undelivered
from billing.windows import END
from proxy.alertmanager import Alertmanager, posted

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
UNTIL = datetime(2026, 12, 1, tzinfo=UTC)
ALERT = Alert(
    Kind.BUDGET_THRESHOLD, "search", NOON - timedelta(days=22), UNTIL, Level.WARNING, "a title", "a text", "80%", "ads"
)  # fmt: skip


def test_it_receives_the_alert_in_its_own_words() -> None:
    async def sent() -> None:
        async with webhook() as hook:
            await Alertmanager(f"http://127.0.0.1:{hook.port}/prefix", lambda: NOON).send(ALERT)
        ((path, body),) = hook.got
        assert path == "/prefix/api/v2/alerts"
        assert body == [
            {
                "labels": {
                    "alertname": "FareboxBudgetThreshold",
                    "severity": "warning",
                    "subject": "search",
                    "mark": "80%",
                    "team": "ads",
                },
                "annotations": {"summary": "a title", "description": "a text"},
                "startsAt": "2026-11-23T12:00:00+00:00",
                "endsAt": "2026-12-01T00:00:00+00:00",
            }
        ]

    asyncio.run(sent())


@pytest.mark.parametrize("status", [204, 302, 400, 500])
def test_another_answer_is_no_delivery(status: int) -> None:
    async def sent() -> None:
        async with webhook(status) as hook:
            with pytest.raises(Undelivered, match=f"^answered {status}$"):
                await Alertmanager(f"http://127.0.0.1:{hook.port}", lambda: NOON).send(ALERT)
        assert len(hook.got) == 1

    asyncio.run(sent())


def test_one_that_is_not_there_cannot_be_reached() -> None:
    async def sent() -> None:
        async with webhook() as hook:
            pass
        with pytest.raises(Undelivered, match=r"^cannot be reached$"):
            await Alertmanager(f"http://127.0.0.1:{hook.port}", lambda: NOON).send(ALERT)

    asyncio.run(sent())


def test_what_has_no_end_stands_a_month_and_what_has_no_value_is_no_label() -> None:
    shown = posted(replace(ALERT, window_until=END, team=None, mark=""), NOON)
    assert shown["endsAt"] == "2026-12-24T12:00:00+00:00"
    assert set(shown["labels"]) == {"alertname", "severity", "subject"}  # type: ignore[call-overload]
