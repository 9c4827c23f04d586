"""Owners: whose an object is that the upstream keeps, for all callers in one account.

The ledger is the memory: charges tell of the objects they made, on the same way through the journal. What was made
lately is remembered here too, because the ledger has it only a moment later.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from billing.attribution import Attribution
from billing.charges import Charge, Made
from billing.journal import Journal
from billing.store import Store

REMEMBERED_CEILING = 20_000
"""Objects kept in memory, some 5 MB: those made and asked for last."""

GENERATIONS = 3
"""How far an object's owner is looked for: the object, what it came of, and what that came of."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an object is: a team's, or that of a key without one."""

    team: str | None = None
    key: str | None = None

    @classmethod
    def of(cls, who: Attribution) -> "Owner":
        """The owner of what a caller makes."""
        return cls(who.team, who.key)

    def may_use(self, owner: "Owner | None") -> bool:
        """Whether an object of that owner is this one's too. Nobody's is what was made past Farebox."""
        if owner is None:
            return False
        return owner.team == self.team if owner.team is not None else owner.key is not None and owner.key == self.key


_Origin = tuple[str | None, Owner]
"""What an object came of, or else whose it is."""


class Owners:
    """Who owns the upstream's objects, of one replica."""

    def __init__(self, journal: Journal, store: Store, ceiling: int = REMEMBERED_CEILING) -> None:
        self._journal = journal
        self._store = store
        self._ceiling = ceiling
        self._remembered: OrderedDict[str, _Origin] = OrderedDict()

    def charged(self, charge: Charge) -> None:
        """Remember what a charge tells of (a listener of the cashier)."""
        if charge.outcome.made:
            self.note(charge.outcome.made, charge.call.attribution)

    def note(self, made: Iterable[Made], who: Attribution) -> None:
        """Remember what a caller has made, before its charge says so."""
        for each in made:
            self._remember(each.id, _origin(each, who))

    async def of(self, idents: Collection[str]) -> dict[str, Owner]:
        """The owners of these objects; one that is not known is missing. Raises what the database raises, where it is
        needed."""
        known: dict[str, _Origin] = {}
        wanted = set(idents)
        for _ in range(GENERATIONS):
            known |= await self._find(wanted)
            wanted = {within for within, _ in known.values() if within is not None} - known.keys()
            if not wanted:
                break
        return {ident: owner for ident in idents if (owner := _owner(ident, known)) is not None}

    async def _find(self, wanted: set[str]) -> dict[str, _Origin]:
        found = {ident: self._remembered[ident] for ident in wanted if ident in self._remembered}
        if missing := wanted - found.keys():
            for ident, within, team, key in await self._store.objects(missing):
                found[ident] = within, Owner(team, key)
            for ident in missing - found.keys():
                if (origin := await asyncio.to_thread(self._waiting, ident)) is not None:
                    found[ident] = origin
        for ident, origin in found.items():
            self._remember(ident, origin)
        return found

    def _waiting(self, ident: str) -> _Origin | None:
        """What the journal knows: charges of an earlier life that the ledger does not have yet."""
        for charge in self._journal.telling_of(ident):
            for each in charge.outcome.made:
                if each.id == ident:
                    return _origin(each, charge.call.attribution)
        return None

    def _remember(self, ident: str, origin: _Origin) -> None:
        """Keep it as it is known first."""
        self._remembered.setdefault(ident, origin)
        self._remembered.move_to_end(ident)
        if len(self._remembered) > self._ceiling:
            self._remembered.popitem(last=False)


def _origin(made: Made, who: Attribution) -> _Origin:
    return (made.within, Owner()) if made.within else (None, Owner.of(who))


def _owner(ident: str, known: dict[str, _Origin]) -> Owner | None:
    for _ in range(GENERATIONS):
        within, owner = known.get(ident, (None, None))
        if within is None:
            return owner
        ident = within
    return None
