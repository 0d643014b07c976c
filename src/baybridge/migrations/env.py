"""Runs the revisions on the connection that `db.Database.migrate` holds; opens none of its own."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, render_as_batch=True)
context.run_migrations()
