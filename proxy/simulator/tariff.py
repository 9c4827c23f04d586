"""What the simulator charges: its own list, its own arithmetic, in Decimal.

Figures: OpenAI's price list of August to October 2026, US dollars per million tokens. Nothing here is shared
with Farebox's price book, on purpose: two independent sums that agree are evidence, one sum twice is not.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

LONG_FROM = 272_000
"""A call with more input tokens than this is charged at the long-context rates, whole."""

# "long": the model has long-context rates (input side ×2, output ×1.5) at every tier it offers; "long-": at
# all but fast. flex, fast, ultra: the tier's multiple of the standard rates. A row `model@tier` is a tier
# that is no multiple. "-": not offered; the simulator never serves what is not on its list.
_LIST = """
# model                    input  cached  write  12h    output   long   flex  fast  ultra
gpt-3.5-turbo              0.5    -       -      -      1.5      -      -     -     -
gpt-3.5-turbo-instruct     1.5    -       -      -      2        -      -     -     -
davinci-002                2      -       -      -      2        -      -     -     -
gpt-4o                     2.5    1.25    -      -      10       -      -     -     -
gpt-4o@priority            4.25   2.125   -      -      17       -      -     -     -
gpt-4o-mini                0.15   0.075   -      -      0.6      -      -     -     -
gpt-4o-mini@priority       0.25   0.125   -      -      1        -      -     -     -
gpt-4.1                    2      0.5     -      -      8        -      -     -     -
gpt-4.1@priority           3.5    0.875   -      -      14       -      -     -     -
gpt-4.1-mini               0.4    0.1     -      -      1.6      -      -     -     -
gpt-4.1-mini@priority      0.7    0.175   -      -      2.8      -      -     -     -
gpt-4.1-nano               0.1    0.025   -      -      0.4      -      -     -     -
gpt-4.1-nano@priority      0.2    0.05    -      -      0.8      -      -     -     -
o3                         2      0.5     -      -      8        -      0.5   -     -
o3@priority                3.5    0.875   -      -      14       -      -     -     -
gpt-5                      1.25   0.125   -      -      10       -      0.5   2     -
gpt-5-mini                 0.25   0.025   -      -      2        -      0.5   1.8   -
gpt-5-nano                 0.05   0.005   -      -      0.4      -      0.5   -     -
gpt-5.1                    1.25   0.125   -      -      10       -      0.5   2     -
gpt-5.4                    2.5    0.25    -      -      15       long-  0.5   2     -
gpt-5.4-mini               0.75   0.075   -      -      4.5      -      0.5   2     -
gpt-5.5                    5      0.5     -      -      30       long-  0.5   2.5   -
gpt-5.6-sol                4      0.4     5      10     20       long   0.5   2     -
gpt-5.6-terra              2      0.2     2.5    5      12       long   0.5   2     -
gpt-5.6-luna               0.2    0.02    0.25   0.5    1.2      long   0.5   2     -
gpt-6-astra                10     1       12.5   25     50       long   0.5   2     6
gpt-6.1-sol                2      0.1     2.5    5      10       long   0.5   2     6
ft:gpt-3.5-turbo           3      -       -      -      6        -      -     -     -
ft:gpt-4o                  3.75   1.875   -      -      15       -      -     -     -
ft:gpt-4o-mini             0.3    0.15    -      -      1.2      -      -     -     -
ft:gpt-4.1                 3      0.75    -      -      12       -      -     -     -
ft:gpt-4.1-mini            0.8    0.2     -      -      3.2      -      -     -     -
text-embedding-ada-002     0.1    -       -      -      -        -      -     -     -
text-embedding-3-small     0.02   -       -      -      -        -      -     -     -
text-embedding-3-large     0.13   -       -      -      -        -      -     -     -
"""

_ANSWERS_AS = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-3.5-turbo-instruct": "gpt-3.5-turbo-instruct:20230824-v2",
    "davinci-002": "davinci:2023-07-21-v2",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "o3": "o3-2025-04-16",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "gpt-5.1": "gpt-5.1-2025-11-13",
    "gpt-5.4": "gpt-5.4-2026-03-05",
    "gpt-5.4-mini": "gpt-5.4-mini-2026-03-17",
    "gpt-5.5": "gpt-5.5-2026-04-23",
    "text-embedding-ada-002": "text-embedding-ada-002-v2",
}
_OTHER_NAMES = {"gpt-5.6": "gpt-5.6-sol"}
_SNAPSHOT = re.compile(r"-(\d{4}-\d\d-\d\d|\d{4})$")


class Rates(NamedTuple):
    """US dollars per million tokens of each kind. None: such tokens are not sold here."""

    input: Decimal | None
    cached: Decimal | None
    write_30m: Decimal | None
    write_12h: Decimal | None
    output: Decimal | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as OpenAI words them: `input` includes cached and written ones, `output` includes reasoning."""

    input: int
    cached: int = 0
    write_30m: int = 0
    write_12h: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def fresh(self) -> int:
        """Input tokens that were neither read from a cache nor written to one."""
        return self.input - self.cached - self.write_30m - self.write_12h


@dataclass(frozen=True, slots=True)
class Model:
    """`served` is the name that answers carry, `listed` the one on the price list."""

    served: str
    listed: str

    @property
    def reasons(self) -> bool:
        return self.listed.startswith(("gpt-5", "gpt-6", "o3"))

    @property
    def embeds(self) -> bool:
        return self.listed.startswith("text-embedding-")


def _scaled(rates: Rates, input_side: Decimal, output_side: Decimal) -> Rates:
    factors = Rates(input_side, input_side, input_side, input_side, output_side)
    return Rates(*(r * f if r is not None and f is not None else None for r, f in zip(rates, factors, strict=True)))


def _read_list(text: str) -> dict[tuple[str, str, bool], Rates]:
    """The list as a table by model, tier and whether the context is long."""
    table: dict[tuple[str, str, bool], Rates] = {}
    for line in text.strip().splitlines()[1:]:
        name, *cells = line.split()
        model, _, own_tier = name.partition("@")
        standard = Rates(*(None if cell == "-" else Decimal(cell) for cell in cells[:5]))
        multiples = dict(zip(("flex", "priority", "ultrafast"), cells[6:], strict=True)) | {own_tier or "default": "1"}
        for tier, multiple in ((tier, Decimal(cell)) for tier, cell in multiples.items() if cell != "-"):
            rates = _scaled(standard, multiple, multiple)
            table[model, tier, False] = rates
            if cells[5] == "long" or (cells[5] == "long-" and tier != "priority"):
                table[model, tier, True] = _scaled(rates, Decimal(2), Decimal("1.5"))
            elif cells[5] == "-":
                table[model, tier, True] = rates
    return table


_TABLE = _read_list(_LIST)
LISTED = tuple(dict.fromkeys(model for model, _, _ in _TABLE))
"""The models on the list, in its order; `ft:…` ones stand for every fine-tune of that base."""
_NAMES = (
    {name: Model(_ANSWERS_AS.get(name, name), name) for name in LISTED if not name.startswith("ft:")}
    | {served: Model(served, name) for name, served in _ANSWERS_AS.items()}
    | {other: Model(name, name) for other, name in _OTHER_NAMES.items()}
)


def names() -> tuple[str, ...]:
    """Every model name that is answered, except those of fine-tunes."""
    return tuple(_NAMES)


def find(name: str) -> Model | None:
    """The model behind a name, a snapshot, or `ft:BASE:ORGANISATION:SUFFIX:ID`; None if it is not listed."""
    if name.startswith("ft:"):
        _, base, *owner = name.split(":")
        listed = "ft:" + _SNAPSHOT.sub("", base)
        return Model(name, listed) if owner and listed in LISTED else None
    return _NAMES.get(name)


def rates(model: Model, tier: str, input_tokens: int) -> Rates | None:
    """The rates for a call of that many input tokens, or None if the model is not offered so."""
    return _TABLE.get((model.listed, tier, input_tokens > LONG_FROM))


def listed_base(name: str) -> str:
    """What the list calls a model, a snapshot, or the base of a fine-tune; its own name if it is on no list."""
    model = find(name)
    return model.listed.removeprefix("ft:") if model else name


def batch_cost(usage: Usage, model: Model) -> Decimal:
    """US dollars of a request in a batch: half the standard price. Batches here use no caches and no fine-tunes, whose
    batch prices are not half everywhere. Raises ValueError for those."""
    at = rates(model, "default", usage.input)
    if at is None or model.listed.startswith("ft:") or usage.fresh != usage.input:
        raise ValueError(f"{model.listed} is not offered in batches here")
    return cost(usage, at) / 2


def cost(usage: Usage, at: Rates) -> Decimal:
    """US dollars, exact. Raises ValueError if the usage has tokens of a kind that these rates do not sell."""
    bought = (usage.fresh, usage.cached, usage.write_30m, usage.write_12h, usage.output)
    total = Decimal(0)
    for kind, tokens, rate in zip(Rates._fields, bought, at, strict=True):
        if tokens and (rate is None or tokens < 0):
            raise ValueError(f"{tokens} {kind} tokens are not sold at these rates")
        total += tokens * (rate or Decimal(0))
    return total.scaleb(-6)
