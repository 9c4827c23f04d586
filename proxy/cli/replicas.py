"""`farebox replicas`: who works on this ledger, and what becomes of the budgets of one that will not come back."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from billing.escrow import Seen
from billing.following import forget
from billing.money import usd_from_pico
from billing.store import Store
from proxy.cli.listing import Format, moment_text, show
from proxy.cli.session import DatabaseOption, FormatOption, ask_ledger, fail, settings

app = typer.Typer(help="The replicas that share this ledger's budgets.", no_args_is_help=True)

COLUMNS = ("name", "state", "leased_until", "held_back_usd", "instance")

_EMPTY = "No replicas share this ledger. Several need PostgreSQL: FAREBOX_DATABASE=postgresql://…"


@app.command("list")
def list_replicas(form: FormatOption = Format.TABLE, database: DatabaseOption = None) -> None:
    """List replicas: alive, or dead since their lease ended, and what they hold back of hard budgets unused."""

    async def listed(store: Store) -> None:
        show([_row(seen) for seen in await store.escrow.seen()], COLUMNS, form, empty=_EMPTY)

    ask_ledger(settings(database=database), listed)


@app.command("forget")
def forget_replica(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a replica that will not come back")],
    force: Annotated[
        bool, typer.Option("--force", help="also one whose lease lasts: stop it first, or budgets may be overrun")
    ] = False,
    database: DatabaseOption = None,
) -> None:
    """Release what a dead replica holds back of hard budgets. What its journal has not posted is not counted any more:
    if the journal is still there, start the replica again, or let another one adopt it, instead."""
    chosen = settings(database=database)

    async def forgotten(store: Store) -> None:
        found = next((seen for seen in await store.escrow.seen() if seen.name == name), None)
        if found is None:
            fail(f"there is no replica {name}", 1)
        if found.alive and not force:
            fail(f"{name} is alive, its lease lasts until {moment_text(found.leased_until)}: stop it first", 1)
        directory = await store.registry.directory()
        await forget(store, name, directory, datetime.now(UTC), chosen.timezone)
        typer.echo(f"forgot {name}, which held back ${usd_from_pico(found.unused_pico)}")

    ask_ledger(chosen, forgotten)


def _row(seen: Seen) -> dict[str, object]:
    return {
        "name": seen.name,
        "state": "alive" if seen.alive else "dead",
        "leased_until": moment_text(seen.leased_until),
        "held_back_usd": usd_from_pico(seen.unused_pico),
        "instance": seen.instance,
    }
