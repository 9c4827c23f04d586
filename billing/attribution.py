"""Attribution: who pays for a call."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Attribution:
    """The dimensions a charge is booked under. None is 'not said'; keys are names or fingerprints, never secrets."""

    key: str | None = None
    team: str | None = None
    project: str | None = None
    organization: str | None = None
    user: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
