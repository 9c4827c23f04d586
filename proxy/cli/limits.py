"""`farebox limits`: set, list and delete rate limits. What is set is in force within a second, in every replica."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from billing.definitions import Unfit, limit_from, limit_shown
from billing.keys import Key
from billing.limits import Limit, limits_of
from billing.store import Store
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

app = typer.Typer(help="How many requests and tokens a minute, and requests at a time.", no_args_is_help=True)

COLUMNS = ("name", "scope", "requests_per_minute", "tokens_per_minute", "concurrent_requests")

_EMPTY = "No limits yet. farebox limits set NAME --rpm 60 --team T"


@app.command("set")
def set_limit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="what it is called; one of that name is replaced")],
    rpm: Annotated[int | None, typer.Option(metavar="N", help="requests per minute")] = None,
    tpm: Annotated[int | None, typer.Option(metavar="N", help="tokens per minute, input and output")] = None,
    concurrent: Annotated[int | None, typer.Option(metavar="N", help="requests at a time")] = None,
    team: TeamOption = None,
    key: KeyOption = None,
    project: ProjectOption = None,
    user: UserOption = None,
    model: ModelOption = None,
    tag: TagOption = None,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """Set a rate limit, or replace it: one for all calls that every kind of option given fits (of each, any one)."""
    chosen = settings(database=database)
    try:
        scope = said_scope(team=team, key=key, project=project, user=user, model=model, tags=tag)
        said = {"requests_per_minute": rpm, "tokens_per_minute": tpm, "concurrent_requests": concurrent, "scope": scope}
        limit = limit_from(name, said)
    except Unfit as error:
        wrong(error)

    async def defined(store: Store) -> None:
        await store.registry.define([limit], datetime.now(UTC))
        show([_row(limit, form)], COLUMNS, form, empty="")

    ask_ledger(chosen, defined)


@app.command("list")
def list_limits(form: FormatOption = Format.TABLE, database: DatabaseOption = None) -> None:
    """List rate limits, with those that keys were created with."""

    async def listed(store: Store) -> None:
        directory = await store.registry.directory()
        limits = limits_of(directory.all(Limit), directory.all(Key))
        show([_row(limit, form) for limit in limits], COLUMNS, form, empty=_EMPTY)

    ask_ledger(settings(database=database), listed)


@app.command("delete")
def delete_limit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the limit's name")], database: DatabaseOption = None
) -> None:
    """Delete a rate limit. Those of keys go with their keys."""

    async def withdrawn(store: Store) -> None:
        if name not in {limit.name for limit in (await store.registry.directory()).all(Limit)}:
            fail(f"there is no limit {name}", 1)
        await store.registry.withdraw(Limit, name, datetime.now(UTC))
        typer.echo(f"deleted limit {name}")

    ask_ledger(settings(database=database), withdrawn)


def _row(limit: Limit, form: Format) -> dict[str, object]:
    return limit_shown(limit) if form is Format.JSON else limit_shown(limit) | {"scope": str(limit.scope)}
