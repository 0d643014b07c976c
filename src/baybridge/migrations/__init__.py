"""Alembic's revisions of the catalog's database. A revision that was released is never edited."""
