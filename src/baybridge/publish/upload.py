"""What a steward says and sends, and what came of it. Nothing is done here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from baybridge.agreements.affected import Affected
from baybridge.catalog.dataset import Access, Mode
from baybridge.catalog.schema import Schema
from baybridge.data.ingest.order import Changes
from baybridge.data.ingest.profile import Profile
from baybridge.data.ingest.source import Reject
from baybridge.data.objects import Stored
from baybridge.expected import WHATEVER, Expected
from baybridge.names import DatasetName
from baybridge.publish.drift import Drift
from baybridge.publish.reading import NOTHING_SAID, Found, Wanted
from baybridge.publish.threshold import NOTHING_LET_GO, LetGo, Threshold
from baybridge.wire.formats import Format


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a steward says of a dataset. None leaves it as it is. `schema_change` confirms another schema than that of its versions.

    `hidden` takes it out of the sight of all others but those `invited`, and those that have an agreement about it. `expected` is the
    state that the dataset is in, as the steward has read it.
    """

    title: str | None = None
    description: str | None = None
    access: Access | None = None
    schema: Schema | None = None
    schema_change: bool = False
    hidden: bool | None = None
    invited: tuple[str, ...] | None = None
    expected: Expected = WHATEVER


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way in; `sheet` is the one of a workbook.

    `accept_schema` confirms whatever the profile proposes, with `key`, where the dataset has no schema yet.

    `suspend` confirms that agreements are suspended which name a column that the version drops or retypes. `expected` is the state of
    the dataset that the version is to follow, `base` the number of the version that is the latest then. Another `mode` than to replace
    builds the version out of that one. `wanted` says how the file is read. `let_go` says how many rows that do not fit may be left out.
    `stop_on_warnings` publishes nothing that is unlike the version before.
    """

    chunks: Iterable[bytes]
    null_words: tuple[str, ...]
    key: tuple[str, ...]
    accept_schema: bool
    dry_run: bool
    suspend: bool = False
    expected: Expected = WHATEVER
    mode: Mode = Mode.REPLACE
    base: int | None = None
    sheet: str | None = None
    wanted: Wanted = NOTHING_SAID
    file_format: Format = Format.CSV
    let_go: LetGo | None = None
    stop_on_warnings: bool = False

    @property
    def threshold(self) -> Threshold:
        """How many rows may be rejected; none where nothing is said of it."""
        return NOTHING_LET_GO if self.let_go is None else self.let_go.threshold


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publication did or, when nothing was published, would have done. Rows read = rows loaded + rows rejected.

    `notes` say what the reading of the file decided. `base` is the number of the version that was changed, None where all rows were
    replaced. `suspends` are the agreements that lose a column by it, `same_file_as` the version before where its file had the same bytes.
    `rejects` carry cell values: they are for whoever uploaded the file and go nowhere else. They are the first of `rejects_found`; up to
    `rejects_allowed` rows are let go. `rejects_kept` says that those of an upload that was refused can be read for some days.
    `warnings` say what is unlike the version before; it was `stopped` by them where the upload asked for that.
    """

    dataset: DatasetName
    version: int | None
    source: Stored
    schema: Schema
    profile: Profile
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rejects: tuple[Reject, ...]
    entry: int | None
    mode: Mode
    base: int | None
    changes: Changes
    notes: tuple[str, ...]
    suspends: tuple[Affected, ...] = ()
    found: Found | None = None
    same_file_as: int | None = None
    rejects_found: int = 0
    rejects_allowed: int = 0
    rejects_kept: bool = False
    warnings: tuple[Drift, ...] = ()
    stopped: bool = False

    @property
    def blocked(self) -> bool:
        """Whether more rows do not fit than are let go, so that nothing is published."""
        return self.rows_rejected > self.rejects_allowed
