"""Roll-ups of the charges that are there, and the slices of budgets that replicas share."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from billing.databases import kind_of
from billing.rollups import statements

revision = "0003"
down_revision = "0002"

_DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
_MOMENT = sa.DateTime(timezone=True)
PAGE_ROWS = 1000
_KEYED = {"sqlite_with_rowid": False}
_WORDS = ("team", "project", "key", "user", "organization", "model", "base_model", "requested_model")
_SUMS = (
    "requests", "cost_micro", "cost_rest_pico", "counted_micro", "counted_rest_pico", "unsure_micro",
    "unsure_rest_pico", "input_tokens", "cached_tokens", "output_tokens", "estimated", "unknown",
)  # fmt: skip


def upgrade() -> None:
    """Makes the tables, then counts every charge."""
    op.create_table(
        "rollup_groups",
        sa.Column("id", sa.String(), primary_key=True),
        *(sa.Column(name, sa.String()) for name in _WORDS),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("service_tier", sa.String()),
        sa.Column("status", sa.Integer()),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("replica", sa.String(), nullable=False),
        sa.Column("tags", _DOCUMENT),
        **_KEYED,
    )
    op.create_table(
        "rollups",
        sa.Column("detail", sa.Boolean(), primary_key=True),
        sa.Column("grain", sa.Integer(), primary_key=True),
        sa.Column("bucket", sa.BigInteger(), primary_key=True),
        sa.Column("group_id", sa.String(), primary_key=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _SUMS),
        **_KEYED,
    )
    op.create_table(
        "rollup_units",
        sa.Column("grain", sa.Integer(), primary_key=True),
        sa.Column("bucket", sa.BigInteger(), primary_key=True),
        sa.Column("group_id", sa.String(), primary_key=True),
        sa.Column("unit", sa.String(), primary_key=True),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        **_KEYED,
    )
    op.create_table(
        "members",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("exchange", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", _MOMENT, nullable=False),
    )
    op.create_table(
        "slices",
        sa.Column("budget", sa.String(), primary_key=True),
        sa.Column("since", _MOMENT, primary_key=True),
        sa.Column("replica", sa.String(), primary_key=True),
        sa.Column("until", _MOMENT, nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("granted_pico", "spent_pico", "held_pico", "unknown_pico", "wanted_pico")
        ),
    )
    _count(op.get_bind())


def _count(connection: sa.Connection) -> None:
    """Every charge that is there, in roll-ups. When roll-ups change, this moves to the step that changes them."""
    others = ("operation", "service_tier", "status", "basis", "reason", "replica", "cost_pico", "held_pico")
    tokens = ("quarter_hour", "input_tokens", "cached_tokens", "output_tokens")
    columns: tuple[sa.ColumnClause[Any], ...] = (
        sa.column("tags", _DOCUMENT), sa.column("usage", _DOCUMENT),
    )  # fmt: skip
    charges = sa.table("charges", *columns, *map(sa.column, (*_WORDS, *others, *tokens)))
    rows = connection.execute(sa.select(charges), execution_options={"yield_per": PAGE_ROWS}).mappings()
    for page in rows.partitions(PAGE_ROWS):
        for statement, values in statements(kind_of(connection), page):
            connection.execute(statement, values)
