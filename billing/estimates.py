"""Estimates: the usage of a call whose answer did not report it, counted here and marked as such."""

import msgspec

from billing.tokens import count_input, count_output
from billing.usage import Unit, Usage
from billing.vocabularies import LONG_CHARACTERS


def estimated_usage(operation: str, request: bytes, output: str, model: str) -> Usage | None:
    """Tokens of a request's JSON body and of the visible output that was seen, by the model's own encoding.

    Cached input cannot be told and counts as plain input; hidden reasoning cannot be told at all. None when the
    request is not a JSON object: then nothing is known.
    """
    try:
        body = msgspec.json.decode(request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    input_tokens = count_input(operation, body, model).tokens
    output_tokens = count_output(output, model) if output else 0
    return Usage({Unit.INPUT_TEXT: input_tokens, Unit.OUTPUT_TEXT: output_tokens})


def is_long(request: bytes, output: str) -> bool:
    """Whether counting may take longer than the event loop should wait: then it belongs in a thread."""
    return len(request) + len(output) > LONG_CHARACTERS
