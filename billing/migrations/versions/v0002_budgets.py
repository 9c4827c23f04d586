"""Keys, budgets, limits and alerts; who made which object; what was held for a call."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """From charges alone."""
    op.add_column("charges", sa.Column("held_pico", sa.BigInteger()))
    op.add_column("charges", sa.Column("hold", sa.String()))
    op.create_table(
        "objects",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("within", sa.String()),
        sa.Column("team", sa.String()),
        sa.Column("key", sa.String()),
        sa.Column("made_at", _MOMENT, nullable=False),
    )
    op.create_table(
        "definitions",
        sa.Column(
            "revision", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("defined_at", _MOMENT, nullable=False),
        sa.Column("body", sa.LargeBinary()),
    )
    op.create_table(
        "replicas",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("seen_at", _MOMENT, nullable=False),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("raised_at", _MOMENT, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("mark", sa.String(), nullable=False),
        sa.Column("team", sa.String()),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("window_since", _MOMENT, nullable=False),
        sa.Column("window_until", _MOMENT, nullable=False),
    )
    op.create_index("ix_alerts_raised_at", "alerts", ["raised_at"])
    op.create_table(
        "deliveries",
        sa.Column("alert_id", sa.String(), primary_key=True),
        sa.Column("channel", sa.String(), primary_key=True),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", _MOMENT, nullable=False),
        sa.Column("give_up_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.Column("error", sa.String()),
    )
    op.create_index("ix_deliveries_next_at", "deliveries", ["next_at"])
