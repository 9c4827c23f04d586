"""`farebox budgets`: set, list and delete budgets. What is set is in force within a second, in every replica."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from billing.budgets import ALERT_PERCENTS, Budget, Position
from billing.definitions import MODES, Unfit, budget_from, position_shown
from billing.following import folds
from billing.store import Store
from billing.windows import BUDGET_WINDOWS
from proxy.cli.listing import Format, show
from proxy.cli.scoping import (
    KeyOption,
    ModelOption,
    ProjectOption,
    TagOption,
    TeamOption,
    UserOption,
    said_scope,
    wrong,
)
from proxy.cli.session import DatabaseOption, FormatOption, ask_ledger, fail, settings

app = typer.Typer(help="How much may be spent, on which calls, in a window of time.", no_args_is_help=True)

COLUMNS = ("name", "scope", "window", "mode", "limit_usd", "spent_usd", "left_usd", "percent", "resets_at")

_EMPTY = "No budgets yet. farebox budgets set NAME --limit USD --window month --team T"


@app.command("set")
def set_budget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="what it is called; one of that name is replaced")],
    limit: Annotated[str, typer.Option(metavar="USD", help="the limit in US dollars, such as 50 or 0.25")],
    window: Annotated[str, typer.Option(help=f"{', '.join(BUDGET_WINDOWS)}, in FAREBOX_TIMEZONE")] = "month",
    mode: Annotated[
        str, typer.Option(help=f"{' or '.join(MODES)}: refuse calls past the limit, or only tell")
    ] = "hard",
    alert: Annotated[str, typer.Option(metavar="PERCENTS", help="shares of the limit that are told; '' for none")] = (
        ",".join(map(str, ALERT_PERCENTS))
    ),
    team: TeamOption = None,
    key: KeyOption = None,
    project: ProjectOption = None,
    user: UserOption = None,
    model: ModelOption = None,
    tag: TagOption = None,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """Set a budget, or replace it: on all calls, or on those that every kind of option given fits (of each, any one).

    What was spent already counts. Nothing is reset.
    """
    chosen = settings(database=database)
    try:
        scope = said_scope(team=team, key=key, project=project, user=user, model=model, tags=tag)
        said = {"limit_usd": limit, "window": window, "mode": mode, "alert": _percents(alert), "scope": scope}
        budget = budget_from(name, said)
    except Unfit as error:
        wrong(error)

    async def defined(store: Store) -> None:
        now = datetime.now(UTC)
        await store.registry.define([budget], now)
        show(await _rows(store, [budget], now, chosen.timezone, form), COLUMNS, form, empty="")

    ask_ledger(chosen, defined)


@app.command("list")
def list_budgets(form: FormatOption = Format.TABLE, database: DatabaseOption = None) -> None:
    """List budgets and what the ledger says was spent on them in their current window.

    What calls under way hold is known to running replicas only: see the console.
    """
    chosen = settings(database=database)

    async def listed(store: Store) -> None:
        budgets = (await store.registry.directory()).all(Budget)
        show(await _rows(store, budgets, datetime.now(UTC), chosen.timezone, form), COLUMNS, form, empty=_EMPTY)

    ask_ledger(chosen, listed)


@app.command("delete")
def delete_budget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the budget's name")], database: DatabaseOption = None
) -> None:
    """Delete a budget. What was spent stays in the ledger."""

    async def withdrawn(store: Store) -> None:
        if name not in {budget.name for budget in (await store.registry.directory()).all(Budget)}:
            fail(f"there is no budget {name}", 1)
        await store.registry.withdraw(Budget, name, datetime.now(UTC))
        typer.echo(f"deleted budget {name}")

    ask_ledger(settings(database=database), withdrawn)


async def _rows(
    store: Store, budgets: Sequence[Budget], now: datetime, zone: ZoneInfo, form: Format
) -> list[dict[str, Any]]:
    """Budgets with what is spent by the ledger. Nothing is known of holds here, so no figure is shown for them."""
    sums = await folds(store, budgets, now, zone)
    rows = []
    for budget in budgets:
        spent = sums[budget.name][0]
        shown = position_shown(Position(budget, spent.since, spent.until, spent.spent_pico, 0, spent.unknown_pico))
        del shown["held_usd"]
        shown["resets_at"] = shown.pop("until")
        rows.append(shown if form is Format.JSON else shown | {"scope": str(budget.scope)})
    return rows


def _percents(text: str) -> list[object]:
    """What stands between commas: numbers where they are some."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [int(part) if part.isascii() and part.isdigit() else part for part in parts]
