"""`farebox quote`: what a request would cost, on its model and on others, and whether its budgets have the money."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from billing.balances import Balances
from billing.budgets import Budget
from billing.expectations import REMEMBERED_CHARGES, REMEMBERED_DAYS, Expectations
from billing.following import folds
from billing.holds import Policy
from billing.keys import Key
from billing.price_sources import price_book
from billing.store import Store
from proxy.cli.listing import Format, show
from proxy.cli.session import DatabaseOption, FormatOption, ask_ledger, fail, settings
from proxy.console.quote import Asker, Quoting, quoted

COLUMNS = (
    "model", "at_most_usd", "typical_usd", "input_tokens", "input_usd", "output_cap_tokens", "hold_usd", "hold_basis",
)  # fmt: skip


def quote(
    file: Annotated[str, typer.Argument(help="the request's JSON body; - reads standard input")],
    path: Annotated[str | None, typer.Option(help="where it would be sent; the body tells otherwise")] = None,
    model: Annotated[list[str] | None, typer.Option(help="compare with this model; may be repeated")] = None,
    team: Annotated[str | None, typer.Option(help="whose budgets: this team's")] = None,
    key: Annotated[str | None, typer.Option(help="this key's")] = None,
    project: Annotated[str | None, typer.Option(help="this project's")] = None,
    user: Annotated[str | None, typer.Option(help="this end user's")] = None,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """Tell what a request would cost at most and typically, on its own and other models; send nothing.

    Exit status 1: a hard budget has not enough left. What calls under way hold is known to running replicas only.
    """
    chosen = settings(database=database)
    asker = Asker(path, tuple(model or ()), key, team, project, user)
    now = datetime.now(UTC)
    answer: dict[str, Any] = {}

    async def answered(store: Store) -> None:
        policy = Policy(chosen.uncapped == "strict", chosen.expected_usd)
        directory = await store.registry.directory()
        balances = Balances(chosen.timezone)
        budgets: list[Budget] = directory.all(Budget)
        balances.put(budgets, await folds(store, budgets, now, chosen.timezone))
        expectations = Expectations()
        for row in await store.expected(now - timedelta(days=REMEMBERED_DAYS), REMEMBERED_CHARGES):
            expectations.learn_row(row)
        found = quoted(
            _body(file),
            asker.booked(directory.all(Key)),
            Quoting(price_book(chosen.prices, chosen.upstream_host), expectations, policy),
            now,
        )
        answer.update(found.shown(lambda call, held: balances.short(call, held.pico)))

    try:
        ask_ledger(chosen, answered)
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}", 2)
    _show(answer, form)
    if not answer["admitted"]:
        raise typer.Exit(1)


def _body(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _show(answer: dict[str, Any], form: Format) -> None:
    """JSON is the one object that the API answers; a table has a row for each model, and says what it adds up to."""
    if form is Format.JSON:
        show([answer], (), form, empty="")
        return
    show(
        [answer, *answer["models"]],
        COLUMNS,
        form,
        empty="",
        title=f"{answer['path']}, price book {answer['price_book']}",
    )
    if form is Format.TABLE:
        typer.echo(_verdict(answer))


def _verdict(answer: dict[str, Any]) -> str:
    refused, open_ends = answer["refused_by"], answer["not_bounded_by"]
    bounded = f"not bounded: {', '.join(open_ends)}" if open_ends else "what it costs at most is known"
    if refused is None:
        return f"Would be admitted now; {bounded}."
    left, limit = refused["left_usd"], refused["limit_usd"]
    return f"Would be refused now: the budget {refused['name']} has ${left} left of ${limit}; {bounded}."
