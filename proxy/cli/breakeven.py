"""`farebox finetune breakeven`: fine-tuning beside a longer prompt, a stronger model and retrieval."""

from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Annotated, Any

import msgspec
import typer

from billing import retirements, training_models
from billing.assumptions import MEANINGS, Asked, Recorded
from billing.comparisons import compared
from billing.money import pico_from_usd
from billing.price_sources import price_book
from billing.store import Store
from billing.traffic import recorded
from proxy.cli.charts import SHARED, lines_chart
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
from proxy.settings import Settings

COLUMNS = (
    "way", "model", "call_usd", "once_usd", "fixed_monthly_usd", "monthly_usd", "all_in_call_usd", "total_usd",
    "payback_months",
)  # fmt: skip
WIDTH, HEIGHT = 64, 14
_CALL, _CENT = Decimal("0.00000001"), Decimal("0.01")


def _said(name: str, metavar: str) -> Any:
    return typer.Option(help=MEANINGS[name], metavar=metavar)


def breakeven(
    traffic: Annotated[
        str | None, typer.Option(metavar="MODEL", help="take calls and tokens from the ledger's calls to this model")
    ] = None,
    since: FromOption = None,
    until: ToOption = None,
    calls: Annotated[int | None, _said("calls", "N")] = None,
    months: Annotated[int | None, _said("months", "N")] = None,
    tier: Annotated[str | None, _said("tier", "TIER")] = None,
    model: Annotated[str | None, _said("model", "MODEL")] = None,
    input_tokens: Annotated[int | None, _said("input_tokens", "N")] = None,
    cached_tokens: Annotated[int | None, _said("cached_tokens", "N")] = None,
    output_tokens: Annotated[int | None, _said("output_tokens", "N")] = None,
    prompt_setup_usd: Annotated[str | None, _said("prompt_setup_usd", "USD")] = None,
    prompt_monthly_usd: Annotated[str | None, _said("prompt_monthly_usd", "USD")] = None,
    tuned_input_tokens: Annotated[int | None, _said("tuned_input_tokens", "N")] = None,
    tuned_cached_tokens: Annotated[int | None, _said("tuned_cached_tokens", "N")] = None,
    tuned_output_tokens: Annotated[int | None, _said("tuned_output_tokens", "N")] = None,
    training_tokens: Annotated[int | None, _said("training_tokens", "N")] = None,
    training_usd: Annotated[str | None, _said("training_usd", "USD")] = None,
    tuned_setup_usd: Annotated[str | None, _said("tuned_setup_usd", "USD")] = None,
    tuned_monthly_usd: Annotated[str | None, _said("tuned_monthly_usd", "USD")] = None,
    stronger: Annotated[str | None, _said("stronger", "MODEL")] = None,
    stronger_input_tokens: Annotated[int | None, _said("stronger_input_tokens", "N")] = None,
    stronger_cached_tokens: Annotated[int | None, _said("stronger_cached_tokens", "N")] = None,
    stronger_output_tokens: Annotated[int | None, _said("stronger_output_tokens", "N")] = None,
    stronger_setup_usd: Annotated[str | None, _said("stronger_setup_usd", "USD")] = None,
    stronger_monthly_usd: Annotated[str | None, _said("stronger_monthly_usd", "USD")] = None,
    context_tokens: Annotated[int | None, _said("context_tokens", "N")] = None,
    query_tokens: Annotated[int | None, _said("query_tokens", "N")] = None,
    corpus_tokens: Annotated[int | None, _said("corpus_tokens", "N")] = None,
    corpus_monthly_tokens: Annotated[int | None, _said("corpus_monthly_tokens", "N")] = None,
    embedding: Annotated[str | None, _said("embedding", "MODEL")] = None,
    file_searches: Annotated[int | None, _said("file_searches", "N")] = None,
    storage_gib: Annotated[str | None, _said("storage_gib", "GIB")] = None,
    storage_free_gib: Annotated[str | None, _said("storage_free_gib", "GIB")] = None,
    storage_usd: Annotated[str | None, _said("storage_usd", "USD")] = None,
    retrieval_setup_usd: Annotated[str | None, _said("retrieval_setup_usd", "USD")] = None,
    retrieval_monthly_usd: Annotated[str | None, _said("retrieval_monthly_usd", "USD")] = None,
    on: Annotated[str | None, typer.Option(metavar="DATE", help="at the prices of that day; today's otherwise")] = None,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """Compare fine-tuning with a longer prompt, a stronger model and retrieval: monthly costs, and where they cross.

    Calls and tokens are given, or taken from recorded traffic (of the last 30 days unless --from says otherwise). What
    nobody says is assumed, and every assumption is stated.
    """
    given = {name: value for name, value in locals().items() if name in MEANINGS and value is not None}
    try:
        asked = msgspec.convert(given, Asked)
    except msgspec.ValidationError as error:
        fail(_in_flags(str(error)), 2)
    chosen = settings(database=database)
    now = datetime.now(UTC)
    seen = _recorded(chosen, traffic, since, until, now) if traffic else None
    try:
        book = price_book(chosen.prices)
        answer = compared(asked, seen, book, _day(on) or now, training_models.known(), retirements.announced())
    except (OSError, ValueError) as error:
        fail(_in_flags(str(error)), 2)
    _show(answer, form)


def _recorded(chosen: Settings, model: str, since: str | None, until: str | None, now: datetime) -> Recorded:
    part = narrowed(chosen, since, until, {})
    found: list[Recorded] = []

    async def looked_up(store: Store) -> None:
        try:
            found.append(await recorded(store, model, part.since, part.until or now))
        except ValueError as error:
            fail(f"--traffic {model}: {error}", 1)

    ask_ledger(chosen, looked_up)
    return found[0]


def _day(on: str | None) -> datetime | None:
    if on is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(on), time.min, UTC)
    except ValueError:
        raise ValueError(f"--on {on}: a date such as 2026-11-23") from None


def _in_flags(sentence: str) -> str:
    """What is said of a field, said of its flag."""
    for name in sorted(MEANINGS, key=len, reverse=True):
        if sentence.endswith(f"`$.{name}`"):
            return f"--{name.replace('_', '-')}: {sentence.partition(' - at ')[0]}"
        if sentence.startswith(f"{name}:"):
            rest = sentence.removeprefix(name).replace("name recorded traffic", "a --traffic")
            return f"--{name.replace('_', '-')}{rest}"
    return sentence


def _show(answer: dict[str, Any], form: Format) -> None:
    """JSON is the one object that the API answers, CSV the ways; a table says in words what goes with them."""
    if form is Format.JSON:
        show([answer], (), form, empty="")
        return
    title = f"{answer['calls']} calls a month for {answer['months']} months, prices of {answer['priced_on']}"
    ways = answer["ways"] if form is Format.CSV else [_readable(way) for way in answer["ways"]]
    show(ways, COLUMNS, form, empty="", title=title)
    if form is Format.CSV:
        return
    typer.echo("\n" + "\n".join(_crossings(answer)))
    if chart := _chart(answer):
        typer.echo("\n" + "\n".join(chart))
    typer.echo()
    columns = ("name", "value", "source", "meaning")
    show(answer["assumptions"], columns, form, empty="", title="Assumptions, each with a flag of its name")
    if seen := answer["recorded"]:
        typer.echo(f"Recorded: {seen['calls']:,} calls to {seen['model']} in {seen['days']} days.")
    for warning in answer["warnings"]:
        typer.echo(f"* {warning}")


def _readable(way: dict[str, Any]) -> dict[str, Any]:
    """A way as people read it: months in cents, calls as fine as a hundredth of a microdollar."""
    return {
        name: str(Decimal(value).quantize(_CALL if "call" in name else _CENT, ROUND_HALF_UP))
        if name.endswith("_usd") and value is not None
        else value
        for name, value in way.items()
    }


def _crossings(answer: dict[str, Any]) -> list[str]:
    if answer["cheapest"] is None:
        return ["No way has a price."]
    told = [f"At this volume the cheapest is: {answer['cheapest']}."]
    for met in answer["crossings"]:
        one, other = met["between"]
        if met["calls"] is None:
            dearer = other if met["cheaper_above"] == one else one
            told.append(f"{met['cheaper_above']} is never dearer than {dearer}.")
        else:
            told.append(
                f"{met['cheaper_above']} is cheaper than {met['cheaper_below']} from {met['calls']:,} a month on."
            )
    return told


def _chart(answer: dict[str, Any]) -> list[str]:
    curve = answer["curve"]
    names = [way["way"] for way in answer["ways"] if way["unpriced"] is None]
    if not names:
        return []
    series = {name[0].upper(): [Fraction(pico_from_usd(point[name]), 10**12) for point in curve] for name in names}
    across = [point["calls"] for point in curve]
    letters = ", ".join(f"{name[0].upper()} {name}" for name in names)
    return lines_chart(
        across, series, width=WIDTH, height=HEIGHT, upright=f"USD a month: {letters}, {SHARED} several",
        along="calls a month",
    )  # fmt: skip
