"""`farebox finetune calendar`: what OpenAI shuts down and when, what of it is in use, and what could take its place."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from billing import retirements, training_models
from billing.price_sources import price_book
from billing.store import Store
from billing.traffic import RECENT
from proxy.cli.listing import Format, show
from proxy.cli.session import (
    DatabaseOption,
    FormatOption,
    FromOption,
    ToOption,
    ask_ledger,
    fail,
    narrowed,
    settings,
)
from proxy.console.endings import shutdowns

IN_USE = ("model", "ends_on", "days_left", "calls", "cost_usd", "replacements")
CALENDAR = ("on", "days_left", "what", "whom", "models")
NOTHING_ENDS = "Nothing in your traffic has an announced end."


def calendar(
    since: FromOption = None,
    until: ToOption = None,
    past: Annotated[bool, typer.Option("--past", help="what has ended already too")] = False,
    replacements: Annotated[
        bool, typer.Option(help="price your own traffic on the models that stay, the cheapest first")
    ] = True,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """Tell what ends when: fine-tuning, models in general, and those in your traffic with their cheapest replacements.

    Traffic of the last 30 days, unless --from and --to say otherwise. CSV has the calendar alone.
    """
    chosen = settings(database=database)
    now = datetime.now(UTC)
    part = narrowed(chosen, since, until, {})
    last = part.until or now
    answer: dict[str, Any] = {}

    async def told(store: Store) -> None:
        ends, training = retirements.announced(), training_models.known()
        book, first = price_book(chosen.prices), part.since or last - RECENT
        answer.update(await shutdowns(store, book, training, ends, first, last, now))

    try:
        ask_ledger(chosen, told)
    except (OSError, ValueError) as error:
        fail(str(error), 2)
    if not replacements:
        for row in answer["in_use"]:
            row["replacements"] = []
    if not past:
        answer["calendar"] = [row for row in answer["calendar"] if row["days_left"] > 0]
    _show(answer, form, replacements=replacements)


def _show(answer: dict[str, Any], form: Format, *, replacements: bool) -> None:
    """JSON is the one object that the API answers."""
    if form is Format.JSON:
        show([answer], (), form, empty="")
        return
    calendar = [row | {"models": ", ".join(row["models"])} for row in answer["calendar"]]
    if form is Format.TABLE:
        rows = [row | {"replacements": _in_words(row)} for row in answer["in_use"]]
        columns = IN_USE if replacements else IN_USE[:-1]
        since, until = (answer[name][:10] for name in ("from", "to"))
        show(rows, columns, form, empty=NOTHING_ENDS, title=f"In your traffic from {since} to {until}")
        if rows and replacements:
            typer.echo(
                "* Only prices are compared, for the same tokens: not what models can do, nor how much they think."
            )
        typer.echo()
    show(calendar, CALENDAR, form, empty="Nothing more is announced.", title="Announced by OpenAI")


def _in_words(row: dict[str, Any]) -> str:
    if not row["replacements"]:
        return "none with a known price"
    return "; ".join(_one_in_words(one) for one in row["replacements"])


def _one_in_words(one: dict[str, Any]) -> str:
    change = one["change_percent"]
    return f"{one['model']} ${one['cost_usd']}" + ("" if change is None else f" ({change:+,} %)")
