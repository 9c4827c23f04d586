"""Holds for media: images, speech, transcripts and videos, by the most that their request can use."""

from billing.charges import Call, rated
from billing.holds import Ask, Hold, Policy
from billing.media_bounds import most
from billing.prices import PriceBook
from billing.requested import Requested
from billing.usage import TOKEN_UNITS


def media_ask(call: Call, requested: Requested, book: PriceBook, policy: Policy) -> Ask | None:
    """The hold of a call for media. None where nothing bounds it and the policy is strict. Takes time in proportion
    to an uploaded audio file."""
    bound = most(call.operation, requested)
    if bound is not None:
        priced = rated(bound, bound.model or call.requested_model, call.requested_tier, call, book)
        if not priced.unpriced:
            tokens = sum(quantity for unit, quantity in bound.usage.items() if unit in TOKEN_UNITS)
            return Ask(priced.cost_pico, Hold.BOUND, 0, tokens)
    return None if policy.strict else Ask(policy.expected_pico, Hold.EXPECTED)
