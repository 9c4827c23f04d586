"""Alternatives to fine-tuning: a longer prompt, a stronger model, retrieval. What each costs, under stated assumptions.

Rates are the price book's of the day, for calls as large as the mean one. Setting a way up and keeping it going cost
what the user says (nothing unless said); all else that a way needs is counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import ceil

from billing.assumptions import DAYS_A_MONTH, Scenario
from billing.breakeven import Way
from billing.prices import STANDARD, PriceBook
from billing.training_holds import training_price
from billing.usage import Unit, Usage

PROMPT, TUNED, STRONGER, RETRIEVAL = "longer prompt", "fine-tuned", "stronger model", "retrieval"


def ways(known: Scenario, book: PriceBook, at: datetime) -> Iterator[tuple[str, str, Way | str]]:
    """Every way: its name, its model, and what it costs at that day's prices, or why that is not known."""
    for name, model, costs in (
        (PROMPT, known.text("model"), _prompt),
        (TUNED, known.tuned_model, _tuned),
        (STRONGER, known.text("stronger"), _stronger),
        (RETRIEVAL, known.text("model"), _retrieval),
    ):
        try:
            call, month, once = costs(known, _Prices(book, at, known.text("tier")))
        except LookupError as unknown:
            yield name, model, str(unknown.args[0])
        else:
            yield name, model, Way(name, call, month, once, known.months)


# Prices of parts


@dataclass(frozen=True, slots=True)
class _Prices:
    """The book on a day, at a tier. What has no price raises LookupError with a sentence."""

    book: PriceBook
    at: datetime
    tier: str

    def call(self, model: str, tokens: Fraction, cached: Fraction, output: Fraction, searches: int = 0) -> Fraction:
        """One call of these mean quantities."""
        used = {
            Unit.INPUT_TEXT: tokens - cached,
            Unit.INPUT_CACHED_TEXT: cached,
            Unit.OUTPUT_TEXT: output,
            Unit.FILE_SEARCH_CALLS: Fraction(searches),
        }
        price = self.book.find(model, self.tier, self.at)
        if price is None:
            raise LookupError(f"no price is known for {model} at tier {self.tier} on {self.at.date()}")
        rates = price.rates_for(Usage({Unit.INPUT_TEXT: ceil(tokens)}))
        if missing := [unit for unit, quantity in used.items() if quantity and unit not in rates]:
            raise LookupError(f"the price of {model} at tier {self.tier} has no {missing[0]} for calls of this size")
        return sum(
            (quantity * Fraction(rates[unit].pico, rates[unit].per) for unit, quantity in used.items() if quantity),
            Fraction(0),
        )

    def embedded(self, model: str, tokens: Fraction) -> Fraction:
        """Embedding so much, which has no tiers but batch."""
        return _Prices(self.book, self.at, STANDARD).call(model, tokens, Fraction(0), Fraction(0))

    def training(self, model: str, tokens: Fraction) -> Fraction:
        """Training on so many billable tokens."""
        price = training_price(model, Unit.TRAINING_TOKENS, self.book, self.at)
        if price is None:
            hourly = training_price(model, Unit.TRAINING_SECONDS, self.book, self.at)
            why = "it is trained by the hour: say training_usd" if hourly else "it cannot be, or not at a known price"
            raise LookupError(f"no training price is known for {model} on {self.at.date()}: {why}")
        rate = price.rates[Unit.TRAINING_TOKENS]
        return tokens * Fraction(rate.pico, rate.per)


_Costs = tuple[Fraction, Fraction, Fraction]
"""Of a call, of a month, once."""


def _prompt(known: Scenario, prices: _Prices) -> _Costs:
    return (_call(known, prices, known.text("model"), ""), *_work(known, "prompt"))


def _tuned(known: Scenario, prices: _Prices) -> _Costs:
    month, once = _work(known, "tuned")
    said = known.assumptions.get("training_usd")
    fee = (
        known.number("training_usd") if said else prices.training(known.text("model"), known.number("training_tokens"))
    )
    return _call(known, prices, known.tuned_model, "tuned_"), month, once + fee


def _stronger(known: Scenario, prices: _Prices) -> _Costs:
    return (_call(known, prices, known.text("stronger"), "stronger_"), *_work(known, "stronger"))


def _retrieval(known: Scenario, prices: _Prices) -> _Costs:
    month, once = _work(known, "retrieval")
    embedding, searches = known.text("embedding"), int(known.number("file_searches"))
    tokens = known.number("tuned_input_tokens") + known.number("context_tokens")
    cached = known.number("tuned_cached_tokens")
    call = prices.call(known.text("model"), tokens, cached, known.number("output_tokens"), searches)
    stored = max(known.number("storage_gib") - known.number("storage_free_gib"), Fraction(0))
    month += stored * known.number("storage_usd") * DAYS_A_MONTH
    month += prices.embedded(embedding, known.number("corpus_monthly_tokens"))
    once += prices.embedded(embedding, known.number("corpus_tokens"))
    return call + prices.embedded(embedding, known.number("query_tokens")), month, once


def _call(known: Scenario, prices: _Prices, model: str, whose: str) -> Fraction:
    tokens, cached, output = (known.number(f"{whose}{kind}_tokens") for kind in ("input", "cached", "output"))
    return prices.call(model, tokens, cached, output)


def _work(known: Scenario, whose: str) -> tuple[Fraction, Fraction]:
    return known.number(f"{whose}_monthly_usd"), known.number(f"{whose}_setup_usd")
