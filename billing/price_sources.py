"""Where prices come from: our own tables, the genai-prices package, and the user's TOML.

Ours stand above genai-prices because every row of them names what it was read from and when; genai-prices
fills in the models we do not list. The user's stand above both.
"""

from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from importlib import resources
from pathlib import Path

from billing.price_genai import genai_prices
from billing.price_tables import read_price_list
from billing.prices import PriceBook, PriceList


def own_prices() -> PriceList:
    """Our own tables, shipped with the package. Raises ValueError when one is wrong."""
    folder = resources.files("billing") / "price_data"
    tables = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return read_price_list("farebox", {file.name: file.read_text(encoding="utf-8") for file in tables})


def user_prices(path: Path) -> PriceList:
    """The user's own table, in the format of `price_tables`.

    Raises OSError when the file cannot be read, ValueError naming file, row and reason when it is wrong.
    """
    return read_price_list("user", {str(path): path.read_text(encoding="utf-8")})


def price_book(user_path: Path | None = None) -> PriceBook:
    """All price lists, the user's first. Raises what `user_prices` raises.

    The version is the newest day on which a row was verified and a digest of all that decides a price: two
    books of one version give the same charges.
    """
    user = () if user_path is None else (user_prices(user_path),)
    lists = (*user, own_prices(), genai_prices())
    newest = max(price.verified_on or date.min for book in lists for price in book.prices)
    digest = sha256("\n".join(line for book in lists for line in _fingerprint(book)).encode())
    return PriceBook(lists, f"{newest}.{digest.hexdigest()[:8]}")


def _fingerprint(book: PriceList) -> Iterator[str]:
    """All that decides a price, in an order that does not depend on how the list was written."""
    yield f"{book.name} {sorted(book.aliases.items())}"
    for price in sorted(book.prices, key=lambda price: (price.model, price.tier, price.effective_from)):
        rates, long_rates = (
            None if held is None else sorted((unit.value, rate.pico, rate.per) for unit, rate in held.items())
            for held in (price.rates, price.long_rates)
        )
        yield f"{price.model} {price.tier} {price.effective_from} {rates} {price.long_from} {long_rates}"
