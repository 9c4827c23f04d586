"""What the console's API offers: its parts, put together, and their description."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from billing.balances import Balances
from billing.journal import Journal
from billing.keys import Key
from billing.limits import Limit, limits_of
from billing.notify import Channel
from billing.prices import PriceBook
from billing.registry import Directory
from billing.store import Store
from proxy.authorisation import Authorisation
from proxy.console import alerts, api, breakeven, budgets, endings, entrance, finetune, keys, limits, prices, quote
from proxy.console.server import Routed

PATHS: dict[str, Any] = {
    path: operations
    for part in (api, keys, budgets, limits, alerts, quote, prices, finetune, breakeven, endings, entrance)
    for path, operations in part.OPENAPI_PATHS.items()
}
"""The paths of the API, as OpenAPI describes them."""


def apis(
    store: Store,
    journal: Journal,
    zone: ZoneInfo,
    now: Callable[[], datetime],
    book: PriceBook,
    desk: Authorisation,
    balances: Balances,
    directory: Callable[[], Directory],
    channels: Mapping[str, Channel],
) -> list[Routed]:
    """The parts of one replica's API."""
    return [
        api.Api(store, journal, zone, now),
        keys.KeysApi(store.registry, zone, now),
        budgets.BudgetsApi(store.registry, lambda: balances.positions(now()), now),
        limits.LimitsApi(store.registry, lambda: limits_of(directory().all(Limit), directory().all(Key)), now),
        alerts.AlertsApi(store.alerts, channels, now),
        quote.QuoteApi(
            quote.Quoting(book, desk.expectations, desk.policy),
            lambda call, held: balances.short(call, held.pico),
            lambda: directory().all(Key),
            now,
        ),
        prices.PricesApi(book, now),
        finetune.FinetuneApi(book, now),
        breakeven.BreakevenApi(store, book, zone, now),
        endings.EndingsApi(store, book, zone, now),
    ]
