"""Datasets and their versions, as values. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from baybridge.catalog.facts import Facts
from baybridge.catalog.manifest import Manifest, Rejects
from baybridge.catalog.schema import Schema
from baybridge.errors import Advice, Conflict, Invalid, Place
from baybridge.names import DatasetName, nearest, parse_organization

MAX_TITLE: Final = 200
MAX_DESCRIPTION: Final = 4_000
MAX_REASON: Final = 500
MAX_INVITED: Final = 100  # an entry names them all


class Access(StrEnum):
    """Who may read: everyone, or whoever has an agreement in force."""

    PUBLIC = "public"
    AGREEMENT = "agreement"


class Mode(StrEnum):
    """What an upload is to the version before it: all rows of the next one, or changes by key."""

    REPLACE = "replace"
    APPEND = "append"
    UPSERT = "upsert"
    DELETE = "delete"


class State(StrEnum):
    """Where a version or a whole dataset is in its life. Only what is published is ever read."""

    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"  # refused everywhere; a steward can restore it
    PURGING = "purging"  # being destroyed: from here on there is no way back
    PURGED = "purged"  # a tombstone


class Act(StrEnum):
    """What moves a version or a dataset from one state to another."""

    WITHDRAW = "withdraw"
    RESTORE = "restore"
    PURGE = "purge"
    FINISH = "finish"


TRANSITIONS: Final[dict[tuple[State, Act], State]] = {
    (State.PUBLISHED, Act.WITHDRAW): State.WITHDRAWN,
    (State.WITHDRAWN, Act.RESTORE): State.PUBLISHED,
    (State.WITHDRAWN, Act.PURGE): State.PURGING,
    (State.PURGING, Act.FINISH): State.PURGED,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """The state, the reason that was given for it (None for `published`), and since when."""

    state: State = State.PUBLISHED
    reason: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """One published table. `schema` is None until confirmed or given.

    `latest` is the newest version that is not withdrawn, 0 where there is none; `last` the highest number that was ever given out.
    One that is `hidden` is not there for whoever has not been let know of it.
    """

    name: DatasetName
    title: str
    description: str
    access: Access
    schema: Schema | None
    latest: int
    updated: datetime
    last: int = 0
    condition: Condition = Condition()
    hidden: bool = False

    def tag(self) -> str:
        """What names the dataset as it stands: each change of what is said of it, of its latest version or of its state gives another."""
        moved = max(self.updated, self.condition.since or self.updated)
        return f"{self.last}-{self.latest}-{self.condition.state}-{moved.isoformat()}"


@dataclass(frozen=True, slots=True)
class Sight:
    """Whose eyes look at the catalog: an organization's, with None those of nobody in particular, or such as see all that there is."""

    organization: str | None = None
    everything: bool = False


NOBODY: Final = Sight()
EVERYTHING: Final = Sight(everything=True)
"""For the local operator, and where a guard has let pass only people of the dataset's own organization."""


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable, numbered state of a dataset, under the schema that was its contract.

    `state` is where it stands now, that of its whole dataset included: the one part of it that moves. `rejects` are the rows of its
    upload that were let go, and `facts` what is remembered of its columns' values; there are none of older versions.
    """

    dataset: DatasetName
    number: int
    schema: Schema
    manifest: Manifest
    published: datetime
    state: State = State.PUBLISHED
    rejects: Rejects | None = None
    facts: Facts = ()


@dataclass(frozen=True, slots=True)
class Numbered:
    """A version as listings show it, without its manifest; of a purged one this is the tombstone. `rejected` rows were let go."""

    number: int
    rows: int
    manifest_sha256: str
    published: datetime
    condition: Condition
    rejected: int = 0

    def tag(self) -> str:
        """What names the version as it stands: only its condition ever moves."""
        return f"{self.number}-{self.condition.state}-{(self.condition.since or self.published).isoformat()}"


def move(condition: Condition, act: Act, *, what: str, reason: str | None, now: datetime) -> Condition:
    """Give the condition after the act. Raise Conflict where the state does not allow it, saying what is possible."""
    after = TRANSITIONS.get((condition.state, act))
    if after is None:
        possible = [each.value for state, each in TRANSITIONS if state is condition.state and each is not Act.FINISH]
        raise Conflict(
            "conflict",
            f"{what} is {condition.state}, and to {act} it is not possible then.",
            advice=Advice(
                rule="A version is withdrawn before it is purged, and what is purged does not come back.",
                who_can_change="you" if possible else "nobody",
                next_step=f"Possible now: {' or '.join(possible) or 'nothing'}.",
            ),
        )
    return Condition(after, None if after is State.PUBLISHED else condition.reason if reason is None else reason, now)


def require_published(dataset: Dataset) -> Dataset:
    """Give the dataset back. Raise Conflict where it is withdrawn or purged: it takes no further version then."""
    if dataset.condition.state is State.PUBLISHED:
        return dataset
    raise Conflict(
        "conflict",
        f"{dataset.name} is {dataset.condition.state}.",
        advice=Advice(
            rule="A dataset that is withdrawn takes no further version.",
            who_can_change=f"a steward of {dataset.name.organization}, by restoring it"
            if dataset.condition.state is State.WITHDRAWN
            else "nobody",
            next_step="Restore it first." if dataset.condition.state is State.WITHDRAWN else "Declare another dataset.",
        ),
    )


def parse_access(text: str) -> Access:
    """Give the access of that name. Raise Invalid otherwise."""
    if text in set(Access):
        return Access(text)
    raise Invalid(
        "invalid_request",
        "The access of a dataset is public or agreement.",
        places=(Place("access", "public or agreement", hint=nearest(text, Access)),),
    )


def require_hideable(dataset: Dataset) -> Dataset:
    """Give the dataset back. Raise Conflict where it is hidden and public at once."""
    if not (dataset.hidden and dataset.access is Access.PUBLIC):
        return dataset
    raise Conflict(
        "conflict",
        f"{dataset.name} is public, and cannot be hidden.",
        advice=Advice(
            rule="What everyone may read, everyone may know of.",
            who_can_change=f"a steward of {dataset.name.organization}",
            next_step="Give it access by agreement while it has no version, or hide another dataset.",
        ),
    )


def parse_invited(names: Iterable[str], dataset: Dataset) -> tuple[str, ...]:
    """Give the organizations, sorted: at most 100, not the owner itself, and none where the dataset is not hidden. Raise Invalid."""
    invited = tuple(sorted({parse_organization(name, parameter="invited") for name in names}))
    if dataset.name.organization not in invited and len(invited) <= MAX_INVITED and (dataset.hidden or not invited):
        return invited
    rule = f"at most {MAX_INVITED} other organizations, and only where the dataset is hidden"
    raise Invalid("invalid_request", f"Invited are {rule}.", places=(Place("invited", rule),))


def parse_mode(text: str) -> Mode:
    """Give the mode of that name. Raise Invalid otherwise."""
    if text in set(Mode):
        return Mode(text)
    rule = ", ".join(Mode)
    raise Invalid("invalid_request", f"mode is one of {rule}.", places=(Place("mode", rule, hint=nearest(text, Mode)),))


def parse_title(text: str) -> str:
    """Give the title back: a printable text of 1 to 200 characters. Raise Invalid otherwise."""
    if text.strip() and len(text) <= MAX_TITLE and text.isprintable():
        return text.strip()
    raise _not_a_text("title", f"a printable text of 1 to {MAX_TITLE} characters")


def parse_description(text: str) -> str:
    """Give the description back: at most 4,000 characters, printable, or line feeds and tabs. Raise Invalid otherwise."""
    if len(text) <= MAX_DESCRIPTION and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    raise _not_a_text("description", f"printable characters, line feeds and tabs, at most {MAX_DESCRIPTION:,}")


def parse_reason(text: str) -> str:
    """Give the reason back: a printable text of 1 to 500 characters. Raise Invalid otherwise."""
    if text.strip() and len(text) <= MAX_REASON and text.isprintable():
        return text.strip()
    rule = f"a printable text of 1 to {MAX_REASON} characters"
    raise Invalid("invalid_request", f"A reason is {rule}.", places=(Place("reason", rule),))


def _not_a_text(parameter: str, rule: str) -> Invalid:
    return Invalid("invalid_request", f"The {parameter} of a dataset is {rule}.", places=(Place(parameter, rule),))
