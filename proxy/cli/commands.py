"""The commands and their options. Exit status: 0 done, 1 something is wrong, 2 wrong usage."""

from pathlib import Path
from typing import Annotated

import typer

from billing import reports
from billing.store import DIMENSIONS, Store, fold
from billing.sums import grain_of
from billing.windows import INTERVALS
from proxy.cli import (
    alerts,
    breakeven,
    budgets,
    endings,
    finetune,
    journals,
    keys,
    limits,
    moving,
    price_checks,
    pricing,
    quoting,
    replicas,
    serving,
    training_jobs,
)
from proxy.cli.listing import Format, show, stream
from proxy.cli.session import DatabaseOption, FormatOption, FromOption, ToOption, ask_ledger, fail, narrowed, settings
from proxy.settings import shown

app = typer.Typer(
    name="farebox",
    help="The cost-accounting proxy for OpenAI: what every call costs, exactly, in a ledger that loses nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
prices = typer.Typer(
    help="The price book: what a model costs, at a tier, on a day, and where that was read.", no_args_is_help=True
)
app.add_typer(prices, name="prices")
app.add_typer(keys.app, name="keys")
app.add_typer(budgets.app, name="budgets")
app.add_typer(limits.app, name="limits")
app.add_typer(alerts.app, name="alerts")
app.add_typer(replicas.app, name="replicas")
app.add_typer(journals.app, name="journal")
finetune.app.command()(breakeven.breakeven)
finetune.app.command()(endings.calendar)
finetune.app.command()(training_jobs.jobs)
app.add_typer(finetune.app, name="finetune")
app.add_typer(moving.export, name="export")
app.command("import")(moving.import_ledger)
app.command()(quoting.quote)


@app.command()
def serve(
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="the apps' side (FAREBOX_LISTEN)")] = None,
    console: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="the console (FAREBOX_CONSOLE)")] = None,
    upstream: Annotated[
        str | None, typer.Option(metavar="ORIGIN", help="where /v1 is relayed to (FAREBOX_UPSTREAM)")
    ] = None,
    database: DatabaseOption = None,
    journal: Annotated[str | None, typer.Option(metavar="FOLDER", help="the local journals (FAREBOX_JOURNAL)")] = None,
    price_file: Annotated[
        str | None, typer.Option("--prices", metavar="FILE", help="your own prices (FAREBOX_PRICES)")
    ] = None,
    replica: Annotated[str | None, typer.Option(metavar="NAME", help="this replica's name (FAREBOX_REPLICA)")] = None,
    reuse_port: Annotated[
        bool, typer.Option("--reuse-port", help="share the apps' port with other processes (FAREBOX_REUSE_PORT)")
    ] = False,
    alert: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="an Apprise URL that alerts go to (FAREBOX_ALERTS)")
    ] = None,
) -> None:
    """Run the proxy and its console."""
    chosen = settings(
        listen=listen,
        console=console,
        upstream=upstream,
        database=database,
        journal=journal,
        prices=price_file,
        replica=replica,
        reuse_port="true" if reuse_port else None,
        alerts=",".join(alert) if alert else None,
    )
    raise typer.Exit(serving.serve(chosen))


@app.command()
def demo(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="the apps' side")] = "127.0.0.1:8080",
    console: Annotated[str, typer.Option(metavar="HOST:PORT", help="the console")] = "127.0.0.1:8081",
    seed: Annotated[int, typer.Option(help="which day of traffic is played")] = 1,
    stay: Annotated[bool, typer.Option(help="stay up afterwards, to look around")] = True,
) -> None:
    """Try it all without a key or a network: real SDK traffic against the built-in simulator, then the report."""
    chosen = settings(listen=listen, console=console)
    raise typer.Exit(serving.demo(chosen, seed=seed, stay=stay))


@app.command()
def simulate(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="where it listens")] = "127.0.0.1:9090",
    seed: Annotated[int, typer.Option(help="what it answers")] = 1,
    faults: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARE_AND_FAULTS", help="faults for a share of all calls, such as '0.01 status=500'"),
    ] = None,
) -> None:
    """Run the simulator alone: an OpenAI on loopback that keeps its own bill at /_simulator/bill."""
    raise typer.Exit(serving.simulate(listen, seed, tuple(faults or ())))


@app.command()
def config(form: FormatOption = Format.TABLE) -> None:
    """Show every setting in force and where its value came from; secrets masked."""
    rows = [
        {"setting": setting.variable, "value": value, "source": source, "meaning": setting.meaning}
        for setting, value, source in shown(settings())
    ]
    show(rows, ("setting", "value", "source", "meaning"), form, empty="")


@app.command()
def charges(
    since: FromOption = None,
    until: ToOption = None,
    team: str | None = None,
    project: str | None = None,
    key: str | None = None,
    user: str | None = None,
    model: Annotated[str | None, typer.Option(help="the model that answered")] = None,
    operation: str | None = None,
    basis: Annotated[str | None, typer.Option(help="reported, estimated, unknown or free")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="the newest so many only")] = None,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """List charges, oldest first: one per call that OpenAI may have billed, with the lines that make it up."""
    chosen = settings(database=database)
    given = {
        "team": team,
        "project": project,
        "key": key,
        "user": user,
        "model": model,
        "operation": operation,
        "basis": basis,
    }
    narrowing = narrowed(chosen, since, until, given)
    columns = ("started_at", "operation", "model", "key", "project", "basis", "usage", "cost_usd", "id")

    async def listed(store: Store) -> None:
        if limit is None:
            await stream(store.charges(narrowing), columns, form, empty=_EMPTY)
        else:
            newest = [row async for row in store.charges(narrowing, limit=limit, newest_first=True)]
            show(reversed(newest), columns, form, empty=_EMPTY)

    ask_ledger(chosen, listed)


@app.command()
def report(
    by: Annotated[
        str, typer.Option(metavar="DIMENSIONS", help=f"comma-separated, of {', '.join(DIMENSIONS)}")
    ] = "model",
    since: FromOption = None,
    until: ToOption = None,
    interval: Annotated[str | None, typer.Option(help=f"one row per {', '.join(INTERVALS)} too")] = None,
    amortize: Annotated[
        bool, typer.Option("--amortize", help="fine-tuned models, with their training spread over all their use")
    ] = False,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """Sum the ledger up."""
    chosen = settings(database=database)
    if amortize:
        over = narrowed(chosen, since, until, {})
        ask_ledger(chosen, lambda store: training_jobs.show_amortized(store, over, chosen, form))
        return
    names = tuple(name.strip() for name in by.split(",") if name.strip())
    if unknown := [name for name in names if name not in DIMENSIONS]:
        fail(f"--by {unknown[0]}: sums are grouped by {', '.join(DIMENSIONS)}", 2)
    if interval is not None and interval not in INTERVALS:
        fail(f"--interval {interval}: one of {', '.join(INTERVALS)}", 2)
    narrowing = narrowed(chosen, since, until, {})

    async def summed(store: Store) -> None:
        totals = await store.totals(names, narrowing, time=grain_of(interval, chosen.timezone) if interval else None)
        rows = reports.rows(totals, names, interval, chosen.timezone)
        figures = reports.sums(fold(totals))
        columns = ((interval,) if interval else ()) + names + tuple(figures)
        if form is Format.TABLE and rows:
            rows.append({columns[0]: "total", **figures})
        show(rows, columns, form, empty=_EMPTY)

    ask_ledger(chosen, summed)


@prices.command("list")
def prices_list(
    on: Annotated[str | None, typer.Option(metavar="DATE", help="the prices of that day; today's otherwise")] = None,
    tier: Annotated[str, typer.Option(help="default, batch, flex, priority or ultrafast")] = "default",
    form: FormatOption = Format.TABLE,
) -> None:
    """List every model's price at a tier, per 1M tokens."""
    chosen = settings()
    try:
        pricing.list_prices(chosen, on, tier, form)
    except (OSError, ValueError) as error:
        fail(str(error), 2)


@prices.command("show")
def prices_show(
    model: Annotated[str, typer.Argument(help="a model's name, as OpenAI spells it")],
    form: FormatOption = Format.TABLE,
) -> None:
    """Show all that is known of a model's price: tiers, history, per 1K and per 1M, and where it was read."""
    chosen = settings()
    try:
        found = pricing.show_price(chosen, model, form)
    except (OSError, ValueError) as error:
        fail(str(error), 2)
    if not found:
        fail(f"no price is known for {model}: its calls are recorded as unpriced. FAREBOX_PRICES can name one.", 1)


@prices.command("check")
def prices_check(
    litellm: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="compare with LiteLLM's map too: model_prices_and_context_window.json"),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Compare the price book with genai-prices and list each difference with the reason why ours stands.

    Exit status 1: a difference has no reason.
    """
    try:
        unexplained = price_checks.check_prices(litellm, form)
    except (OSError, ValueError) as error:
        fail(str(error) if litellm is None or str(litellm) in str(error) else f"{litellm}: {error}", 2)
    if unexplained:
        fail(f"{unexplained} without a reason: look at OpenAI's list, then correct our row or state the reason", 1)


@prices.command("diff")
def prices_diff(
    one: Annotated[str, typer.Argument(metavar="A", help="a day (2026-07-01) or a file of own prices")],
    other: Annotated[str, typer.Argument(metavar="B", help="another of the same kind")],
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what differs between the prices of two days, or with two files of own prices, from A to B."""
    chosen = settings()
    try:
        price_checks.diff_prices(chosen, one, other, form)
    except (OSError, ValueError) as error:
        fail(str(error), 2)


_EMPTY = "No charges yet. Point an app at Farebox: OPENAI_BASE_URL=http://127.0.0.1:8080/v1"
