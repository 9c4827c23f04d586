"""The first ledger: charges."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

_DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """PostgreSQL's are partitioned by month, so that a month can go at once; its primary key must then name the day."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "charges",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=False),
        sa.Column("quarter_hour", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("requested_model", sa.String()),
        sa.Column("model", sa.String()),
        sa.Column("base_model", sa.String()),
        sa.Column("service_tier", sa.String()),
        sa.Column("status", sa.Integer()),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("client_gone", sa.Boolean(), nullable=False),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("usage", _DOCUMENT, nullable=False),
        sa.Column("lines", _DOCUMENT, nullable=False),
        sa.Column("unpriced", _DOCUMENT, nullable=False),
        sa.Column("remarks", _DOCUMENT, nullable=False),
        sa.Column("cost_pico", sa.BigInteger()),
        sa.Column("price_book", sa.String(), nullable=False),
        sa.Column("key", sa.String()),
        sa.Column("team", sa.String()),
        sa.Column("project", sa.String()),
        sa.Column("organization", sa.String()),
        sa.Column("user", sa.String()),
        sa.Column("tags", _DOCUMENT, nullable=False),
        sa.Column("response_id", sa.String()),
        sa.Column("upstream_request_id", sa.String()),
        sa.Column("replica", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint(*(("id", "started_at") if postgresql else ("id",))),
        postgresql_partition_by="RANGE (started_at)",
    )
    op.create_index("ix_charges_quarter_hour", "charges", ["quarter_hour"])
