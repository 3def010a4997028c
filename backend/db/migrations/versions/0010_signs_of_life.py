"""When a job's trainer last spoke, and how fast it once was

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("best_step_seconds", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("last_sign_at", sa.DateTime(), nullable=True))
