"""What became of each command

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of commands given so far nobody knows what became of them: only those that wait are of use.
    op.execute("DELETE FROM commands WHERE given_at IS NOT NULL")
    op.add_column("commands", sa.Column("number", sa.BigInteger(), nullable=True))
    op.add_column("commands", sa.Column("outcome", sa.String(length=16), nullable=True))
    op.add_column("commands", sa.Column("step", sa.Integer(), nullable=True))
    op.add_column("commands", sa.Column("problems", sa.JSON(none_as_null=True), nullable=True))
