"""The bill: a row for every call that costs money, whether or not its answer arrived."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from proxy.simulator.tariff import Usage

_WORDS = {
    "input": "input_tokens",
    "cached": "cached_tokens",
    "write_30m": "cache_write_30m_tokens",
    "write_12h": "cache_write_12h_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}


def usd(amount: Decimal) -> str:
    """The exact amount as a plain decimal string, without exponent or trailing zeros."""
    return format(amount.normalize(), "f")


@dataclass(frozen=True, slots=True)
class Row:
    """One call. `id` is the id in the answer (None: it has none), `fault` what it was told to suffer."""

    id: str | None
    request_id: str
    operation: str
    model: str
    service_tier: str
    usage: Usage
    cost_usd: Decimal
    fault: str | None = None
    disconnected: bool = False

    def as_json(self) -> dict[str, Any]:
        usage = {_WORDS[kind]: tokens for kind, tokens in asdict(self.usage).items()}
        fields = {name: getattr(self, name) for name in self.__slots__}
        return fields | {"usage": usage, "cost_usd": usd(self.cost_usd)}


class Bill:
    """Rows in the order of the calls. The only thing in the simulator that changes as calls come in."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def total_usd(self) -> Decimal:
        return sum((row.cost_usd for row in self), Decimal(0))

    def add(self, row: Row) -> None:
        """Charge a call. Request ids never repeat, response ids do when a caller fixes the draw."""
        self._rows[row.request_id] = row

    def mark_disconnected(self, request_id: str) -> None:
        """Note that the client left before the end of its answer, which it pays in full all the same."""
        if row := self._rows.get(request_id):
            self._rows[request_id] = replace(row, disconnected=True)

    def reset(self) -> None:
        """Forget all rows, those of calls under way included."""
        self._rows.clear()

    def as_json(self) -> dict[str, Any]:
        """What `GET /_simulator/bill` answers."""
        rows = [row.as_json() for row in self]
        return {"total_usd": usd(self.total_usd), "requests": len(rows), "rows": rows}
