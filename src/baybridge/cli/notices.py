"""`notices`: what your agency is told about its agreements, and what ends soon."""

from __future__ import annotations

from collections.abc import Iterator

import click

from baybridge.cli.printing import table
from baybridge.cli.session import Session, server_options
from baybridge.wire.notices import NoticesShape


@click.command()
@click.option("--limit", type=click.IntRange(min=1, max=1000), default=100, show_default=True, help="At most so many, the newest first.")
@click.option("--before", type=click.IntRange(min=1), metavar="NUMBER", help="Only those older than the notice with this number.")
@click.option("--read", "read", type=click.IntRange(min=1), metavar="NUMBER", help="Mark this notice as read, for the whole agency.")
@server_options
def notices(session: Session, *, limit: int, before: int | None, read: int | None) -> None:
    """Show what your agency is told about its agreements, newest first."""
    with session.client() as client:
        if read is not None:
            marked = client.mark_read(read)
            session.show(marked, [f"{marked.id}: {marked.text} Read {marked.read}."])
            return
        found = client.notices(before=before, limit=limit)
    session.show(found, _lines(found))


def _lines(found: NoticesShape) -> Iterator[str]:
    rows = [[each.id, each.time, "" if each.read else "new", each.text] for each in found.notices]
    yield from table(["number", "time", "", "notice"], rows)
    for each in found.ending_soon:
        yield f"ends in {each.days} days: {each.agreement} on {each.dataset}, {each.end}"
        yield f"  renew it: baybridge agreement renew {each.agreement} --end INSTANT"
    for late in found.overdue:
        yield f"overdue since {late.destroy_by}: {late.consumer} has not stated that what it got under {late.agreement} is destroyed"
        yield f"  state it: baybridge agreement close {late.agreement} --statement TEXT"
