"""LiteLLM's map, read exactly."""

import json
from fractions import Fraction

import pytest

from billing.price_litellm import litellm_prices
from billing.usage import Unit

ENTRIES = """
{
  "sample_spec": {"litellm_provider": "one of them"},
  "note": 3,
  "gpt-x": {
    "litellm_provider": "openai", "mode": "chat", "max_tokens": 4096, "supports_vision": true,
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 2.5e-07,
    "input_cost_per_token_batches": 1.25e-06,
    "cache_creation_input_token_cost_above_12hr_above_272k_tokens_priority": 0.00002,
    "input_cost_per_token_above_272k_tokens": 5e-06, "input_cost_per_token_priority": 5e-06,
    "cache_read_input_token_cost_decisions": 1e-08, "input_cost_per_audio_token": 0.0,
    "search_context_cost_per_query": {"search_context_size_low": 0.01, "search_context_size_medium": 0.025}
  },
  "whisper-x": {"litellm_provider": "openai", "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001},
  "gpt-live-1": {"litellm_provider": "openai", "input_cost_per_second": 0.000833333333333},
  "high/1024-x-1024/gpt-image-x": {"litellm_provider": "openai", "input_cost_per_token": 1e-06},
  "claude-x": {"litellm_provider": "anthropic", "input_cost_per_token": 1e-06}
}
"""


def test_a_key_is_a_unit_a_context_and_a_tier() -> None:
    found = {
        (price.model, price.tier, unit, long): Fraction(rate.pico, rate.per)
        for price in litellm_prices(ENTRIES).prices
        for long, rates in ((False, price.rates), (True, price.long_rates or {}))
        for unit, rate in rates.items()
    }
    assert found == {
        ("gpt-x", "default", Unit.INPUT_TEXT, False): 2_500_000,
        ("gpt-x", "default", Unit.INPUT_TEXT, True): 5_000_000,
        ("gpt-x", "default", Unit.OUTPUT_TEXT, False): 10_000_000,
        ("gpt-x", "default", Unit.INPUT_CACHED_TEXT, False): 250_000,
        ("gpt-x", "default", Unit.WEB_SEARCH_CALLS, False): 25_000_000_000,
        ("gpt-x", "batch", Unit.INPUT_TEXT, False): 1_250_000,
        ("gpt-x", "priority", Unit.INPUT_TEXT, False): 5_000_000,
        ("gpt-x", "priority", Unit.INPUT_CACHE_WRITE_12H, True): 20_000_000,
        ("gpt-x decisions", "default", Unit.INPUT_CACHED_TEXT, False): 10_000,
        ("whisper-x", "default", Unit.AUDIO_SECONDS, False): 100_000_000,
        ("gpt-live-1", "default", Unit.SESSION_SECONDS, False): Fraction(833333333333, 1000),
    }


def test_long_context_begins_where_it_does_on_openai_s_list() -> None:
    found = {(price.model, price.tier): price.long_from for price in litellm_prices(ENTRIES).prices}
    assert (found["gpt-x", "default"], found["gpt-x", "priority"], found["gpt-x", "batch"]) == (272_000, 272_000, None)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"a": 1}', json.dumps({"claude": {"litellm_provider": "anthropic"}}), "[" * 100_000]
)
def test_what_is_no_such_map_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not LiteLLM's map of model prices"):
        litellm_prices(text)
