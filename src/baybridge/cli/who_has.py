"""`who-has`: who may read a dataset, under what, how much of it and until when. It is made from the agreements that the owner sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from baybridge.cli.session import Door, Session, door_options
from baybridge.client import Client
from baybridge.errors import Advice, Refused
from baybridge.names import DatasetName
from baybridge.terms.terms import Terms
from baybridge.terms.text import sections
from baybridge.wire.agreements import AgreementShape
from baybridge.wire.collections import CollectionShape

_IN_FORCE: Final = frozenset({"ACTIVE", "SCHEDULED", "SUSPENDED"})
_READING: Final = ("How long", "Which rows", "Which columns", "Which versions", "How much")


@click.command("who-has")
@click.argument("dataset")
@door_options
def who_has(session: Session, dataset: str) -> None:
    """Say who may read DATASET: under which agreement, which rows and columns in plain words, and until when.

    Only people of the agency that owns it, and the local operator, can ask. An agreement that is suspended, or has not begun, is shown as
    such: nothing is read under it now.
    """
    name = DatasetName.parse(dataset)
    with session.door() as door:
        _require_owner(door, name)
        collection = door.collection(dataset)
        found = [each for each in door.agreements().agreements if each.dataset == dataset and each.state in _IN_FORCE]
    readers = [_reader(each) for each in found]
    shape = {"dataset": dataset, "access": collection.access, "state": collection.state, "owner": name.organization, "readers": readers}
    session.show(shape, _lines(collection, found))


def _require_owner(door: Door, name: DatasetName) -> None:
    if isinstance(door, Client) and door.whoami().organization != name.organization:
        raise Refused(
            "token_wrong_organisation",
            f"Who may read {name} is told to its owner only.",
            advice=Advice(
                rule="An agreement is shown to its parties; all agreements about a dataset only to the agency that owns it.",
                who_can_change="nobody",
                next_step=f"Ask a steward of {name.organization}, or list your own agreements.",
                next_command="baybridge agreement list",
            ),
        )


def _reader(each: AgreementShape) -> dict[str, object]:
    terms = each.terms
    return {
        "organization": each.consumer,
        "agreement": each.id,
        "state": each.state,
        "reads_now": each.state == "ACTIVE",
        "start": None if terms is None else terms.start,
        "end": None if terms is None else terms.end,
        "purposes": [] if terms is None else terms.purposes,
        "columns": [] if terms is None else [{"name": column, "mask": terms.masks.get(column)} for column in terms.columns],
        "row_filter": None if terms is None else terms.row_filter,
        "words": _words(each),
    }


def _words(each: AgreementShape) -> list[str]:
    """What is read, in the words that both sides have signed; none where nothing is read because the terms are not understood."""
    if each.terms is None:
        return []
    said = dict(sections(Terms.parse(each.terms), consumer=each.consumer))
    return [line for heading in _READING for line in said[heading]]


def _lines(collection: CollectionShape, found: list[AgreementShape]) -> Iterator[str]:
    owner = collection.organization
    if collection.state != "published":
        yield f"{collection.id} is {collection.state}: nobody reads it now."
    yield f"{owner} owns {collection.id}: its stewards and analysts read all of it."
    if collection.access == "public":
        yield "It is public: everyone reads every row and column, without an agreement."
    elif not found:
        yield "Nobody else may read it: no agreement about it is in force."
    for each in found:
        yield ""
        yield f"{each.consumer} under {each.id}: {each.state}" + ("" if each.state == "ACTIVE" else ", nothing is read now")
        if each.terms is None:
            yield "  Its terms are not understood by this server; nothing is served under them."
        else:
            yield f"  For {', '.join(each.terms.purposes)}."
        yield from (f"  {line}" for line in _words(each))
