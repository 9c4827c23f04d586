"""Model names: which base a name stands for, and what is fine-tuned.

The grammars (facts: OpenAI's fine-tuning guide and recorded names):

* `gpt-4o-2024-08-06`                                      a snapshot: name, then its date
* `gpt-3.5-turbo-instruct:20230824-v2`                     a deployment, as the completions API reports it
* `ft:BASE:ORGANISATION:SUFFIX:JOB[:ckpt-step-N]`          a fine-tuned model; parts may be empty
* `BASE:ft-ORGANISATION[-SUFFIX]-YYYY-MM-DD-hh-mm-ss`      the legacy `/fine-tunes` spelling
* `BASE.ft-ID[-SUFFIX]`                                    Azure's spelling
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_SNAPSHOT = re.compile(r"(?P<name>.+)-(?P<date>20\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))")
_DEPLOYMENT = re.compile(r"(?P<name>[^:]+):\d{4}-?\d\d-?\d\d-v\d+")
_LEGACY = re.compile(r"(?P<base>[^:]+):ft-(?P<rest>.+)")
_LEGACY_REST = re.compile(r"(?P<owner>.+?)-\d{4}(?:-\d\d){5}")
_AZURE = re.compile(r"(?P<base>[^:]+?)\.ft-(?P<job>.+)")


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model name taken apart. For a model that is not fine-tuned, only `name` and `base` are set."""

    name: str
    base: str
    fine_tuned: bool = False
    legacy: bool = False
    organisation: str | None = None
    suffix: str | None = None
    job: str | None = None
    checkpoint: int | None = None

    @property
    def price_name(self) -> str:
        """What the price list calls it: `ft:BASE` (or `BASE:ft` for the legacy generation), else the base."""
        if not self.fine_tuned:
            return self.base
        return f"{self.base}:ft" if self.legacy else f"ft:{self.base}"

    @property
    def undated_price_name(self) -> str:
        """`price_name` without the snapshot's date."""
        if not self.fine_tuned:
            return undated(self.base)
        return f"{undated(self.base)}:ft" if self.legacy else f"ft:{undated(self.base)}"

    @property
    def base_model(self) -> str:
        """The model it is a version of: the base, without a snapshot's date."""
        return undated(self.base)


def undated(name: str) -> str:
    """The name without a snapshot's date or a deployment's at its end."""
    match = _SNAPSHOT.fullmatch(name) or _DEPLOYMENT.fullmatch(name)
    return match["name"] if match else name


@lru_cache(maxsize=4096)
def parse(name: str) -> ModelName:
    """Take a model name apart. Never fails: a name of no known grammar is its own base."""
    if name.startswith("ft:"):
        base, *rest = name.removeprefix("ft:").split(":")
        organisation, suffix, job, checkpoint = (*rest, "", "", "", "")[:4]
        step = re.fullmatch(r"ckpt-step-(\d{1,18})", checkpoint)
        return ModelName(
            name,
            base,
            True,
            False,
            organisation or None,
            suffix or None,
            job or None,
            int(step[1]) if step else None,
        )
    if match := _LEGACY.fullmatch(name):
        owner = _LEGACY_REST.fullmatch(match["rest"])
        return ModelName(name, match["base"], True, True, owner["owner"] if owner else match["rest"])
    if match := _AZURE.fullmatch(name):
        return ModelName(name, match["base"], True, job=match["job"])
    return ModelName(name, name)
