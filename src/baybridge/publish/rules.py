"""The rules of publishing that need no row to be looked at: what may be changed by which upload, and what must be confirmed first."""

from __future__ import annotations

from baybridge.agreements.affected import Affected
from baybridge.catalog.dataset import Dataset, Mode, Version
from baybridge.catalog.schema import Schema
from baybridge.errors import Advice, Conflict, Place
from baybridge.names import DatasetName
from baybridge.publish.upload import Upload


def require_changeable(dataset: Dataset, mode: Mode, base: int | None) -> None:
    """Raise Conflict unless the dataset's latest version is the one that is meant, and can be changed in this way."""
    if base is not None and base != dataset.latest:
        raise Conflict(
            "conflict",
            f"Version {base} of {dataset.name} is not its latest; that is {dataset.latest or 'none'}.",
            advice=Advice(
                rule="A change is made to the version that it names, or not at all.",
                who_can_change="you",
                next_step="Look at what the latest version has, and send the change that it needs.",
                next_command=f"baybridge show {dataset.name}",
            ),
            places=(Place("base", "not the latest version"),),
        )
    if mode is Mode.REPLACE:
        return
    if not dataset.latest:
        raise _unchangeable(dataset, mode, f"{dataset.name} has no version that could be changed.", "Publish all rows first.")
    if mode is not Mode.APPEND and (dataset.schema is None or not dataset.schema.key):
        what = f"{dataset.name} has no key, and rows are changed and deleted by key."
        raise _unchangeable(dataset, mode, what, "Append rows, publish all rows anew, or declare a schema with a key.")


def require_same_schema(dataset: Dataset, base: Version) -> Version:
    """Give the version back. Raise Conflict where its schema is not the dataset's any more: new columns come with all rows."""
    if base.schema == dataset.schema:
        return base
    raise Conflict(
        "schema_is_contract",
        f"The schema of {dataset.name} was changed after version {base.number}.",
        advice=Advice(
            rule="A version under another schema than the one before has all its rows from one file.",
            who_can_change="you",
            next_step="Publish all rows, with mode replace.",
            next_command=f"baybridge publish {dataset.name} FILE",
        ),
    )


def require_contract(dataset: Dataset, schema: Schema, upload: Upload) -> None:
    """Raise Conflict unless the upload says nothing of key and null words, or what the schema says: nothing it asks for is ignored.

    The empty word is not asked for: it means null wherever no schema says otherwise.
    """
    if (upload.key and upload.key != schema.key) or not set(upload.null_words) <= {"", *schema.null_words}:
        raise Conflict(
            "schema_is_contract",
            f"The schema of {dataset.name} has another key or other null words than the upload names.",
            advice=Advice(
                rule="The schema fixes key and null words.",
                who_can_change="you",
                next_step="Leave key and null words out; the schema has them.",
            ),
        )


def require_confirmed(name: DatasetName, upload: Upload, suspends: tuple[Affected, ...]) -> None:
    """Raise Conflict (`agreements_affected`) where agreements lose a column by the version, and nobody has said that they may."""
    if suspends and not upload.suspend:
        raise Conflict(
            "agreements_affected",
            f"The version drops or retypes columns that {len(suspends)} agreements in force name.",
            advice=Advice(
                rule="A version suspends the agreements that lose a column by it, and only where its steward confirms that.",
                who_can_change="you",
                next_step="Publish with suspend=true, or keep the columns.",
                next_command=f"baybridge publish {name} FILE --suspend",
            ),
            places=tuple(Place(each.agreement.id, f"names {', '.join(each.columns)}") for each in suspends),
        )


def unconfirmed(name: DatasetName) -> Conflict:
    """Make the error for a first version whose schema nobody has confirmed."""
    return Conflict(
        "schema_unconfirmed",
        f"{name} has no schema yet, and the upload neither gives nor accepts one.",
        advice=Advice(
            rule="The first version's schema is confirmed by a steward; it is the contract for all later ones.",
            who_can_change="a steward of the dataset's organization",
            next_step="Look at the proposal with a dry run; then accept it, or declare a schema.",
            next_command=f"baybridge publish {name} FILE --dry-run",
        ),
    )


def nothing_proposed(name: DatasetName) -> Conflict:
    """Make the error for a first version without a row and without a schema."""
    return Conflict(
        "schema_unconfirmed",
        f"{name} has no schema yet, and a file without rows proposes none.",
        advice=Advice(
            rule="A schema is proposed by rows: without one row, nothing says what type a column has.",
            who_can_change="a steward of the dataset's organization",
            next_step="Declare a schema, or publish a file with rows first.",
            next_command=f"baybridge publish {name} FILE --schema SCHEMA",
        ),
    )


def _unchangeable(dataset: Dataset, mode: Mode, what: str, next_step: str) -> Conflict:
    return Conflict(
        "conflict",
        what,
        advice=Advice(
            rule="Append, upsert and delete change the latest version; the last two find rows by key.",
            who_can_change=f"a steward of {dataset.name.organization}",
            next_step=next_step,
        ),
        places=(Place("mode", f"{mode} is not possible here"),),
    )
