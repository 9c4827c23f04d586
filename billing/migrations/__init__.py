"""Migrations: bring a ledger of any released version to this one's schema (Alembic). Run on start, by one at a time."""

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from billing.databases import lock, writing

_CONFIG = Config()
_CONFIG.set_main_option("script_location", str(Path(__file__).parent))
_CONFIG.set_main_option("path_separator", "os")

SPINE, BUDGETS = "0001", "0002"
"""The schemas of ledgers that were made before they carried a version."""


class SchemaTooNew(ValueError):
    """The database was made by a later version of Farebox."""


def newest() -> str:
    """The version of this Farebox's schema."""
    return str(ScriptDirectory.from_config(_CONFIG).get_current_head())


async def upgrade(engine: AsyncEngine) -> None:
    """Bring a database to the newest schema, in one transaction. Raises SchemaTooNew."""
    async with engine.connect() as connection:
        if await connection.run_sync(version) == newest():
            return
    async with writing(engine) as connection:
        await lock(connection, ["migrations"])
        await connection.run_sync(to_newest)


def version(connection: Connection) -> str | None:
    """The version of a database's schema; None where there is none, of a ledger without a version the one it has."""
    known = MigrationContext.configure(connection).get_current_revision()
    if known is not None:
        return known
    tables = inspect(connection)
    if not tables.has_table("charges"):
        return None
    return BUDGETS if any(column["name"] == "hold" for column in tables.get_columns("charges")) else SPINE


def to_newest(connection: Connection) -> None:
    """The same for a connection that is in a transaction and has the database for itself."""
    to(connection, newest())


def to(connection: Connection, target: str) -> None:
    """Bring a database up to a version. Raises SchemaTooNew."""
    script = ScriptDirectory.from_config(_CONFIG)
    found = version(connection)
    if found is not None and found not in {revision.revision for revision in script.walk_revisions()}:
        raise SchemaTooNew(
            f"the ledger's schema is of version {found}, which this Farebox does not know (its own is {newest()}):"
            " it was made by a later one"
        )
    if found is not None and MigrationContext.configure(connection).get_current_revision() is None:
        MigrationContext.configure(connection).stamp(script, found)

    def steps(revision: Any, _: MigrationContext) -> Any:
        return script._upgrade_revs(target, revision)

    with EnvironmentContext(_CONFIG, script, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
