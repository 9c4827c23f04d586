"""Values of settings: how a text becomes one. Each raises ValueError with what must stand there instead."""

import contextlib
import re
from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing.money import pico_from_usd


def flag(text: str) -> bool:
    """Yes or no."""
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def one_of(*choices: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def zone(text: str) -> ZoneInfo:
    """A time zone."""
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of the zone files
        raise ValueError("must be a time zone such as UTC or Europe/Paris") from None


def database(text: str) -> str:
    """The address of a ledger."""
    if not re.fullmatch(r"sqlite:///.+|postgres(ql)?://[^/]+/[^/?]+(\?.*)?", text):
        raise ValueError("must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    return text


def names(text: str) -> tuple[str, ...]:
    """Names, comma-separated."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def routes(text: str) -> tuple[str, ...]:
    """Paths below /v1, comma-separated."""
    if strange := [route for route in names(text) if not route.startswith("/v1/")]:
        raise ValueError(f"{strange[0]!r} must be a path such as /v1/realtime/calls")
    return names(text)


def seconds(text: str) -> float:
    """A number of seconds."""
    with contextlib.suppress(ValueError):
        if 0 <= (seconds := float(text)) < float("inf"):
            return seconds
    raise ValueError("must be a number of seconds")


def usd(text: str) -> int:
    """US dollars, as picodollars."""
    with contextlib.suppress(ValueError):
        if (pico := pico_from_usd(text)) >= 0:
            return pico
    raise ValueError("must be an amount in US dollars such as 0.05")


def count(text: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError("must be a whole number")
    return int(text)


def retention(text: str) -> int:
    """Days for which single charges are kept; 0 keeps all."""
    if (days := count(text)) and days < RETENTION_DAYS_LEAST:
        raise ValueError(f"must be 0, which keeps all, or {RETENTION_DAYS_LEAST} days or more")
    return days


RETENTION_DAYS_LEAST = 62
"""The month before this one can always be looked at, call by call."""


def size(text: str) -> int:
    """A number of bytes, with a unit or without."""
    if not (match := re.fullmatch(r"(\d{1,18}) ?([KMGT]i)?B?", text, re.ASCII)):
        raise ValueError("must be a number of bytes such as 512MiB or 4GiB")
    return int(match[1]) << 10 * ("", "Ki", "Mi", "Gi", "Ti").index(match[2] or "")


def without_password(address: str) -> str:
    """An address as it may be shown."""
    return re.sub(r"(?<=://)([^/@:]*):[^/]*@", r"\1:***@", address)
