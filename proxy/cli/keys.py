"""`farebox keys`: who may call, under which name, team and project. A secret is shown once, when it is made."""

import json
import secrets
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from billing import keys
from billing.keys import SECRET_BYTES, Key, Name, Terms
from billing.store import Store
from proxy.cli.listing import Format, show
from proxy.cli.session import DatabaseOption, FormatOption, ask_ledger, fail, settings
from proxy.permissions import unknown_endpoint

app = typer.Typer(
    help="Keys that Farebox issues, and names for the keys and OpenAI projects that pass through.", no_args_is_help=True
)

COLUMNS = (
    "name", "id", "hint", "team", "project", "tags", "models", "endpoints", "created_at", "expires_at", "state",
)  # fmt: skip
_ONCE = "This is the only time the key is shown. Farebox keeps a digest of it."
_EMPTY = "No keys yet. farebox keys create NAME --team TEAM makes one; other keys pass through under their fingerprint."

NamedArgument = Annotated[str, typer.Argument(metavar="NAME", help="the key's name or id")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="what the key is called in reports, budgets and limits")],
    team: Annotated[str | None, typer.Option(help="the team that its calls are booked to")] = None,
    project: Annotated[str | None, typer.Option(help="likewise the project")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="a tag of its calls; repeatable")] = None,
    models: Annotated[
        str | None, typer.Option(help="all it may use, comma-separated: gpt-4o (with its fine-tunes), gpt-5*")
    ] = None,
    endpoints: Annotated[
        str | None, typer.Option(help="all it may use, comma-separated: operations or paths, such as chat,/v1/files*")
    ] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="requests per minute")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="tokens per minute")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="after so long (30d, 12h), or when that date or time begins")
    ] = None,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """Make a key."""
    chosen = settings(database=database)
    now = datetime.now(UTC)
    for pattern in _listed(endpoints):
        if problem := unknown_endpoint(pattern):
            fail(problem, 2)
    try:
        ends = keys.until(expires, now, chosen.timezone) if expires else None
        terms = Terms(name, team, project, _tags(tag or []), _listed(models), _listed(endpoints), rpm, tpm, ends)
    except ValueError as error:
        fail(str(error), 2)

    async def created(store: Store) -> None:
        existing = (await store.registry.directory()).all(Key)
        try:
            key, secret = keys.issue(terms, existing, ident=_new_id(), entropy=_entropy(), now=now)
        except ValueError as error:
            fail(str(error), 2)
        await store.registry.define([key], now)
        _show_secret(key, secret, now, form)

    ask_ledger(chosen, created)


@app.command("list")
def list_keys(form: FormatOption = Format.TABLE, database: DatabaseOption = None) -> None:
    """List keys, also those that were revoked or have expired; never a secret."""

    async def listed(store: Store) -> None:
        found = sorted((await store.registry.directory()).all(Key), key=lambda key: (key.created_at, key.id))
        now = datetime.now(UTC)
        show([_row(key, now, form) for key in found], COLUMNS, form, empty=_EMPTY)

    ask_ledger(settings(database=database), listed)


@app.command()
def rotate(
    named: NamedArgument,
    grace: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="the old secret stays good so long, such as 1h (else it ends now)"),
    ] = None,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """Give a key another secret. Its id, name and all else stay, and what it spent."""
    chosen = settings(database=database)
    try:
        kept = keys.span(grace) if grace else timedelta()
    except ValueError as error:
        fail(str(error), 2)

    async def rotated(store: Store) -> None:
        now = datetime.now(UTC)
        key = _found((await store.registry.directory()).all(Key), named, now)
        try:
            changed, secret = keys.rotate(key, entropy=_entropy(), now=now, grace=kept)
        except ValueError as error:
            fail(str(error), 1)
        await store.registry.define(changed, now)
        _show_secret(changed[0], secret, now, form)

    ask_ledger(chosen, rotated)


@app.command()
def revoke(named: NamedArgument, form: FormatOption = Format.TABLE, database: DatabaseOption = None) -> None:
    """Take a key out of force for good, within a second; what it spent stays in the ledger."""

    async def revoked(store: Store) -> None:
        now = datetime.now(UTC)
        existing = (await store.registry.directory()).all(Key)
        key = _found(existing, named, now)
        changed = keys.revoke(key, existing, now)
        await store.registry.define(changed, now)
        show([_row(each, now, form) for each in changed or [key]], COLUMNS, form, empty=_EMPTY)

    ask_ledger(settings(database=database), revoked)


@app.command("name")
def name_it(
    ident: Annotated[
        str | None, typer.Argument(metavar="FINGERPRINT_OR_PROJECT", help="fp_… or proj_…; all names unless said")
    ] = None,
    name: Annotated[str | None, typer.Argument(help="what to call it")] = None,
    team: Annotated[str | None, typer.Option(help="the team that its calls are booked to")] = None,
    project: Annotated[str | None, typer.Option(help="likewise the project; of fingerprints only")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="take the name away")] = False,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """Name a key of OpenAI's by its fingerprint, or an OpenAI project, from now on; or list the names."""
    chosen = settings(database=database)
    if ident is not None and (name is None) is not forget:
        fail("say what to call it, or --forget", 2)
    try:
        given = keys.name_of(ident, name, team, project) if ident and name else None
    except ValueError as error:
        fail(str(error), 2)

    async def named(store: Store) -> None:
        now, there = datetime.now(UTC), (await store.registry.directory()).all(Name)
        if given is not None:
            await store.registry.define([given], now)
            there = [given]
        elif ident is not None:
            if ident not in {each.id for each in there}:
                fail(f"{ident} has no name", 1)
            await store.registry.withdraw(Name, ident, now)
            there = []
        rows = [{"id": each.id, "name": each.name, "team": each.team, "project": each.project} for each in there]
        empty = f"{ident} has no name now." if ident else "No names yet."
        show(rows, ("id", "name", "team", "project"), form, empty=empty)

    ask_ledger(chosen, named)


def _found(existing: list[Key], named: str, now: datetime) -> Key:
    key = keys.find(existing, named, now)
    if key is None:
        fail(f"there is no key {named}; farebox keys list has them all", 1)
    return key


def _show_secret(key: Key, secret: str, now: datetime, form: Format) -> None:
    """The secret goes to standard output only; where a person reads that, or a pipe, the warning goes beside it."""
    shown: Mapping[str, Any] = {"id": key.id, "key": secret, **keys.shown(key, now)}
    if form is Format.JSON:
        sys.stdout.write(json.dumps(shown, ensure_ascii=False, separators=(",", ":")) + "\n")
    else:
        show([shown], ("name", "key", "id", "team", "project", "expires_at"), form, empty="")
    sys.stderr.write(f"{_ONCE}\n")


def _row(key: Key, now: datetime, form: Format) -> Mapping[str, Any]:
    row = keys.shown(key, now)
    if form is not Format.JSON:
        row |= {name: ",".join(row[name]) for name in ("models", "endpoints")}
    return row


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part for each in (text or "").split(",") if (part := each.strip()))


def _tags(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--tag {pair}: write NAME=VALUE")
        found[name] = value
    return found


def _new_id() -> str:
    return f"key_{secrets.token_hex(8)}"


def _entropy() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)
