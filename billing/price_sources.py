"""Where prices come from: our own tables, the genai-prices package, and the user's TOML.

Ours stand above genai-prices because every row of them names what it was read from and when; genai-prices
fills in the models we do not list. The user's stand above both. What regional processing adds at the upstream's
host, and what the user's contract takes off, is in the rates of the lists before the book is made of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from hashlib import sha256
from importlib import resources
from pathlib import Path

from billing.price_adjustments import Adjustment, adjusted, read_adjustments
from billing.price_genai import genai_prices
from billing.price_tables import read_price_list, read_tables
from billing.prices import PriceBook, PriceList


def _own_tables() -> dict[str, str]:
    folder = resources.files("billing") / "price_data"
    tables = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name: file.read_text(encoding="utf-8") for file in tables}


def own_prices() -> PriceList:
    """Our own tables, shipped with the package, as listed for no host. Raises ValueError when one is wrong."""
    return read_price_list("farebox", _own_tables())


def own_adjustments() -> tuple[Adjustment, ...]:
    """What OpenAI's list is multiplied by where (regional processing). Raises ValueError when a table is wrong."""
    return read_adjustments(_own_tables())


def user_prices(path: Path) -> PriceList:
    """The user's own rows, in the format of `price_tables`.

    Raises OSError when the file cannot be read, ValueError naming file, line, row and reason when it is wrong.
    """
    return read_price_list("user", {str(path): path.read_text(encoding="utf-8")})


def price_book(user_path: Path | None = None, host: str = "") -> PriceBook:
    """All price lists, the user's first, as they hold for calls to an upstream's host (empty: one without region).

    The user's file may also hold `[[discount]]` and `[[uplift]]` (`price_adjustments`), and aliases of models that only
    the other lists know. Raises what `user_prices` raises.

    The version is the newest day on which a row was verified and a digest of all that decides a price: two
    books of one version give the same charges.
    """
    listed: tuple[PriceList, ...] = (own_prices(), genai_prices())
    user: tuple[PriceList, ...] = ()
    adjustments = own_adjustments()
    if user_path is not None:
        documents = {str(user_path): user_path.read_text(encoding="utf-8")}
        listed, user = _with_users(documents, listed)
        theirs = read_adjustments(documents, authority=1)
        _refuse_unlisted(theirs, listed, user_path)
        adjustments += theirs
    lists = (*user, *(adjusted(prices, adjustments, host) for prices in listed))
    newest = max(price.verified_on or date.min for book in lists for price in book.prices)
    digest = sha256("\n".join(line for book in lists for line in _fingerprint(book)).encode())
    return PriceBook(lists, f"{newest}.{digest.hexdigest()[:8]}")


def _with_users(
    documents: Mapping[str, str], listed: tuple[PriceList, ...]
) -> tuple[tuple[PriceList, ...], tuple[PriceList, ...]]:
    """The lists with the user's aliases of their models, and the user's own list."""
    tables = read_tables(documents)
    rows = {price.model for price in tables.prices}
    aliases = dict(tables.aliases)
    try:
        given = []
        for prices in listed:
            known = {price.model for price in prices.prices}
            targets = {name: prices.aliases.get(model, model) for name, model in aliases.items() if model not in rows}
            taken = {name: model for name, model in targets.items() if model in known}
            aliases = {name: model for name, model in aliases.items() if name not in taken}
            given.append(replace(prices, aliases={**prices.aliases, **taken}) if taken else prices)
        return tuple(given), (PriceList("user", tables.prices, aliases),)
    except ValueError as error:
        raise ValueError(f"{', '.join(documents)}: {error}") from None


def _refuse_unlisted(adjustments: tuple[Adjustment, ...], listed: tuple[PriceList, ...], path: Path) -> None:
    """Raises ValueError for a name in an adjustment that is not that of a row in force: it would change nothing."""
    book = PriceBook(listed, "listed")
    for adjustment in adjustments:
        for name in (name for name in adjustment.models if "*" not in name):
            alone = replace(adjustment, models=(name,), tiers=())
            known = [price for _, price in book.history(name)]
            if any(alone.exactness(price) for price in known[:1] or (it for its in listed for it in its.prices)):
                continue
            hint = f"; it is another name of {known[0].model}" if known else ""
            raise ValueError(f"{path}: the {adjustment.kind} names {name}, which no price list has a row for{hint}")


def _fingerprint(book: PriceList) -> Iterator[str]:
    """All that decides a price, in an order that does not depend on how the list was written."""
    yield f"{book.name} {sorted(book.aliases.items())}"
    for price in sorted(book.prices, key=lambda price: (price.model, price.tier, price.effective_from)):
        rates, long_rates = (
            None if held is None else sorted((unit.value, rate.pico, rate.per) for unit, rate in held.items())
            for held in (price.rates, price.long_rates)
        )
        yield f"{price.model} {price.tier} {price.effective_from} {rates} {price.long_from} {long_rates}"
