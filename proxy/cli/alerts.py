"""`farebox alerts`: what was raised and how its delivery stands, and a test of every channel."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from billing.alerts import trial
from billing.notify import tried
from billing.store import Store
from proxy.channels import routes
from proxy.cli.listing import Format, show
from proxy.cli.session import DatabaseOption, FormatOption, ask_ledger, fail, settings
from proxy.console.alerts import outcomes
from proxy.settings import SettingsError

app = typer.Typer(help="What people are told of, once, and where it goes.", no_args_is_help=True)

COLUMNS = ("raised_at", "level", "kind", "title", "team", "delivery")

_EMPTY = "No alerts yet. Set FAREBOX_ALERTS to where they shall go, and try it: farebox alerts test"


@app.command("list")
def list_alerts(
    limit: Annotated[int, typer.Option(min=1, help="the newest so many")] = 100,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """List the alerts raised, newest first, and how each delivery stands."""

    async def listed(store: Store) -> None:
        rows = [row | {"delivery": _delivery(row["deliveries"])} for row in await store.alerts.listed(limit)]
        show(rows, COLUMNS, form, empty=_EMPTY)

    ask_ledger(settings(database=database), listed)


@app.command("test")
def send_test(form: FormatOption = Format.TABLE) -> None:
    """Send a test alert through every channel, once, and say how each went; status 1 where one failed."""
    try:
        channels = routes(settings(), lambda: datetime.now(UTC)).channels
    except SettingsError as error:
        fail(str(error), 2)
    if not channels:
        fail("no channel to test: set FAREBOX_ALERTS or FAREBOX_ALERTMANAGER", 2)
    rows = outcomes(asyncio.run(tried(channels.values(), trial(datetime.now(UTC)))))
    show(rows, ("channel", "result", "error"), form, empty="")
    if any(row["error"] is not None for row in rows):
        raise typer.Exit(1)


def _delivery(deliveries: list[Mapping[str, Any]]) -> str:
    """How deliveries stand, in a line: nothing where no channel was there to take the alert."""
    return ", ".join(f"{row['channel']} {_standing(row)}" for row in deliveries)


def _standing(row: Mapping[str, Any]) -> str:
    if row["error"] is None or row["result"] == "delivered":
        return str(row["result"])
    return f"{row['result']} after {row['attempts']} × ({row['error']})"
