"""Expectations: what calls usually cost whose most their request does not tell, learned from their charges.

Costs are counted in buckets, sixteen to each doubling: a percentile read from them is up to 1/16 over the true one,
and never under it. Learning a charge is one addition whatever came before, so any order gives the same figures.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from billing.charges import Charge
from billing.model_names import parse
from billing.rating import Line
from billing.usage import Unit

LEAST_KNOWN = 100
"""Charges that a figure must rest on."""

REMEMBERED_DAYS, REMEMBERED_CHARGES = 30, 20_000
"""How far back, and how many at most, the ledger's charges are read to start from."""

KINDS_CEILING = 2_000
"""Kinds of calls (operation × base model) that are kept: names are the apps' to invent. Later ones stay unknown."""

_FINE = 4  # 2⁴ buckets to each doubling
_OUTPUT = frozenset({Unit.OUTPUT_TEXT, Unit.OUTPUT_AUDIO, Unit.OUTPUT_IMAGE})


class Costs:
    """A bag of costs in picodollars, by bucket. It may be read while another thread adds: an exact hold is counted
    off the loop."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.known = 0
        self._read: dict[int, int] = {}

    def add(self, pico: int) -> None:
        """Count one cost."""
        self._buckets[_bucket(pico)] += 1
        self.known += 1
        self._read.clear()

    def percentile(self, percent: int) -> int | None:
        """The cost that so many percent of all do not exceed (at most 1/16 too high); None while too few are known."""
        if self.known < LEAST_KNOWN:
            return None
        read = self._read.get(percent)
        if read is None:
            over = self.known - -(-self.known * percent // 100)  # how many may lie above
            for bucket in sorted(self._buckets, reverse=True):
                read = _upper(bucket)
                over -= self._buckets[bucket]
                if over < 0:
                    break
            self._read[percent] = read or 0
        return read


class Expectations:
    """What uncapped calls, and calls whose input is not all in their body, have cost: by operation and base model.

    A model is known by the name that was requested: that is all a hold can go by.
    """

    def __init__(self) -> None:
        self._output: dict[tuple[str, str], Costs] = {}
        self._whole: dict[tuple[str, str], Costs] = {}

    def learn(self, charge: Charge) -> None:
        """Learn from an ended call, if it was held by expectation and its cost is known."""
        call = charge.call
        if call.hold == "expected" and call.requested_model and charge.cost_pico is not None:
            self._add(call.operation, call.requested_model, charge.cost_pico, _output_pico(charge.lines))

    def learn_row(self, row: Mapping[str, Any]) -> None:
        """Learn from a row of the ledger: `operation, requested_model, hold, cost_pico, lines` as in `tables`."""
        if row["hold"] == "expected" and row["requested_model"] and row["cost_pico"] is not None:
            output = sum(line["cost_pico"] for line in row["lines"] if line["unit"] in _OUTPUT)
            self._add(row["operation"], row["requested_model"], row["cost_pico"], output)

    def output_pico(self, operation: str, model: str, percent: int = 99) -> int | None:
        """What the output of such calls costs at a percentile; None until enough are known."""
        return _read(self._output, operation, model, percent)

    def whole_pico(self, operation: str, model: str, percent: int = 99) -> int | None:
        """What such calls cost altogether at a percentile; None until enough are known."""
        return _read(self._whole, operation, model, percent)

    def _add(self, operation: str, model: str, whole_pico: int, output_pico: int) -> None:
        kind = (operation, parse(model).base_model)
        if kind not in self._whole:
            if len(self._whole) >= KINDS_CEILING:
                return
            self._whole[kind], self._output[kind] = Costs(), Costs()
        self._whole[kind].add(whole_pico)
        self._output[kind].add(output_pico)


def _read(costs: Mapping[tuple[str, str], Costs], operation: str, model: str, percent: int) -> int | None:
    found = costs.get((operation, parse(model).base_model))
    return found.percentile(percent) if found else None


def _output_pico(lines: tuple[Line, ...]) -> int:
    return sum(line.cost_pico for line in lines if line.unit in _OUTPUT)


def _bucket(pico: int) -> int:
    """The bucket of a cost: how often it doubles, and which sixteenth of the last doubling it is in."""
    shift = max(pico.bit_length() - 1 - _FINE, 0)
    return (shift << _FINE) + (pico >> shift)


def _upper(bucket: int) -> int:
    """The largest cost of a bucket."""
    shift = max((bucket >> _FINE) - 1, 0)
    return (((bucket - (shift << _FINE)) + 1) << shift) - 1
