"""The doctor: looks at a home, part by part, and says of each how it is, what shows that, and the command that mends it. It mends nothing.

A check is a small function that gives a `Seen`, or raises what it met. Evidence is counts, ids and paths: no value, name or secret.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

import httpx2
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from baybridge import jobs
from baybridge.agreements import store as agreements
from baybridge.agreements.agreement import Standing
from baybridge.audit import store as audit_store
from baybridge.audit.entry import decode
from baybridge.catalog import holdings
from baybridge.catalog import store as catalog
from baybridge.catalog.dataset import State
from baybridge.data.objects import Objects
from baybridge.db import Database
from baybridge.errors import BaybridgeError, Corrupt
from baybridge.operate.home import Home, read_keys
from baybridge.operate.outside import Outside
from baybridge.operate.watch import Watch
from baybridge.principals import store as principals

DOCS: Final = "docs/how-to/look-after-a-home.md"
ENDING_WITHIN: Final = timedelta(days=30)
_LAG: Final = timedelta(minutes=5)
_AHEAD: Final = timedelta(seconds=5)
_SAMPLE_OBJECTS: Final = 20
_SAMPLE_BYTES: Final = 1 << 28
_FAIL_FREE: Final = 1 << 29
_WARN_FREE: Final = 5 << 30
_NAMED: Final = 5
_SECONDS: Final = 5
_KEEP_OUTSIDE: Final = "export BAYBRIDGE_CHECKPOINT_COPY=/elsewhere/checkpoints.json"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Health(StrEnum):
    """How a part is. Only `fail` makes the whole examination fail."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw, and the command that mends it, where it is not well."""

    state: Health
    evidence: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check's outcome as it is shown. `docs` is where the check is explained."""

    id: str
    state: Health
    evidence: str
    fix: str | None
    docs: str


def ok(evidence: str) -> Seen:
    """All is well."""
    return Seen(Health.OK, evidence)


def warn(evidence: str, fix: str) -> Seen:
    """Somebody should look at it."""
    return Seen(Health.WARN, evidence, fix)


def fail(evidence: str, fix: str) -> Seen:
    """It does not work, or will not."""
    return Seen(Health.FAIL, evidence, fix)


def look(name: str, see: Callable[[], Seen], *, fix: str) -> Check:
    """Run one check. What it raises is a failure, in words that name no value; `fix` is where to begin then."""
    try:
        seen = see()
    except BaybridgeError as wrong:
        seen = fail(wrong.detail, wrong.advice.next_command or fix)
    except OSError as wrong:
        seen = fail(f"{wrong.filename}: {wrong.strerror}.", fix)
    except SQLAlchemyError as wrong:
        seen = fail(f"The catalog cannot be read ({type(wrong).__name__}).", fix)
    return Check(name, seen.state, seen.evidence, seen.fix, f"{DOCS}#{name}")


@dataclass(frozen=True, slots=True)
class Files:
    """A home that may not open: its files, its environment, and how its parts are read. `database` opens nothing yet."""

    home: Home
    environment: Mapping[str, str]
    read_settings: Callable[[], Iterable[str]]
    database: Database
    probe: Callable[[], None]

    def checks(self) -> tuple[Check, ...]:
        """Look at settings, secrets, keys, catalog, objects folder and disk."""
        at = f"--home {self.home.root}"
        return (
            look("settings", self.settings, fix=f"baybridge settings {at}"),
            look("secrets", self.secrets, fix=f"chmod 700 {self.home.root}"),
            look("keys", self.keys, fix=f"ls -l {self.home.root / 'keys'}"),
            look("catalog", self.catalog, fix=f"ls -l {self.home.database}"),
            look("objects_folder", self.objects_folder, fix=f"ls -ld {self.home.objects}"),
            look("disk", self.disk, fix=f"df -h {self.home.root}"),
        )

    def settings(self) -> Seen:
        """Every setting parses; where those come from that are not defaults."""
        origins = list(self.read_settings())
        given = sum(each != "default" for each in origins)
        return ok(f"{len(origins)} settings, {given} of them not at their default")

    def secrets(self) -> Seen:
        """Nobody but their owner reads the home, the settings file, or a file that holds a secret."""
        named = [Path(text) for name, text in sorted(self.environment.items()) if name.startswith("BAYBRIDGE_") and name.endswith("_FILE")]
        open_ones = [path for path in (self.home.root, *named) if path.stat().st_mode & _OTHERS]
        if self.home.settings.stat().st_mode & stat.S_IWOTH:
            open_ones.append(self.home.settings)
        if open_ones:
            mend = " ".join(str(path) for path in open_ones)
            return fail(f"others than the owner may enter, read or write {_some(open_ones)}", f"chmod go= {mend}")
        return ok(f"the home and {len(named)} named secret files are their owner's alone")

    def keys(self) -> Seen:
        """All keys are there, whole, and of mode 600."""
        read_keys(self.home)
        return ok("3 keys, each of mode 600")

    def catalog(self) -> Seen:
        """The database opens, is sound, and is of this program's revision."""
        if self.database.shared:
            return self._postgresql()
        if not self.home.database.exists():
            return fail(f"{self.home.database.name} is missing", f"cp -p BACKUP/{self.home.database.name} {self.home.database}")
        with self.database.read() as connection:
            found = connection.execute(sa.text("PRAGMA quick_check(1)")).scalar() if connection.dialect.name == "sqlite" else "ok"
        if found != "ok":
            return fail("the database file is damaged", f"cp -p BACKUP/{self.home.database.name} {self.home.database}")
        present, needed = self.database.revisions()
        if present != needed:
            return fail(f"revision {present}, and this program needs {needed}", "baybridge version")
        return ok(f"revision {present}, and the file is sound")

    def _postgresql(self) -> Seen:
        with self.database.read() as connection:
            lax = [name for name in ("fsync", "full_page_writes") if connection.exec_driver_sql(f"SHOW {name}").scalar() != "on"]
        present, needed = self.database.revisions()
        if present != needed:
            return fail(f"revision {present}, and this program needs {needed}", "baybridge version")
        if lax:
            return warn(f"PostgreSQL has {' and '.join(lax)} off: a power cut takes entries that were served under", "psql -c 'SHOW fsync'")
        return ok(f"revision {present} on PostgreSQL, which waits for its disk")

    def objects_folder(self) -> Seen:
        """An object can be written, read back and removed where objects are."""
        try:
            self.read_settings()
        except BaybridgeError:
            return warn(
                "not looked at: the settings, which say where objects are, do not parse", f"baybridge settings --home {self.home.root}"
            )
        self.probe()
        return ok("a file was written, read back and removed")

    def disk(self) -> Seen:
        """There is room for another version."""
        return free_disk(shutil.disk_usage(self.home.root).free, self.home.root)

    def sound(self, checks: Iterable[Check]) -> bool:
        """Whether the home can be opened for what is left to look at."""
        return not any(each.state is Health.FAIL for each in checks if each.id in {"settings", "keys", "catalog"})


@dataclass(frozen=True, slots=True)
class Doctor:
    """An open home, bound to what a look at it needs."""

    home: Home
    database: Database
    objects: Objects
    watch: Watch
    outside: Outside
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]

    def checks(self) -> tuple[Check, ...]:
        """Look at what the catalog holds, and hold the files against it."""
        at = f"--home {self.home.root}"
        return (
            look("objects", self.sample_objects, fix=f"ls {self.home.objects}"),
            look("log", self.log, fix=f"baybridge audit verify {at}"),
            look("outside", self.kept_outside, fix=f"baybridge settings {at}"),
            look("clock", self.newest_entry, fix="timedatectl"),
            look("purges", self.purges, fix=f"baybridge serve {at}"),
            look("jobs", self.jobs, fix=f"baybridge jobs list {at}"),
            look("agreements_ending", self.agreements_ending, fix=f"baybridge agreement list {at}"),
            look("second_person", self.second_person, fix=f"baybridge org list {at}"),
            look("extracts", self.extracts, fix=f"ls -ld {self.home.extracts}"),
        )

    def sample_objects(self) -> Seen:
        """Every object that a version names is there, and those of a chance sample are what was written."""
        with self.database.read() as connection:
            named = holdings.named_objects(connection)
        sizes = self.objects.sizes()
        missing = sorted(named - sizes.keys())
        if missing:
            which = _some(each[:12] for each in missing)
            return fail(f"{len(missing)} of {len(named)} objects are missing: {which}", self.objects.restored(missing[0]))
        sampled = self._sample({each: sizes[each] for each in named})
        wrong = [each for each in sampled if not self._is_written(each)]
        if wrong:
            which = _some(each[:12] for each in wrong)
            return fail(f"{len(wrong)} of {len(sampled)} objects are not what was written: {which}", self.objects.restored(wrong[0]))
        return ok(f"{len(named)} objects are there, and {len(sampled)} that were hashed again are what was written")

    def _is_written(self, sha256: str) -> bool:
        try:
            self.objects.check(sha256)
        except Corrupt:
            return False
        return True

    def _sample(self, named: Mapping[str, int]) -> list[str]:
        nonce, taken, size = self.entropy(16), list[str](), 0
        for each in sorted(named, key=lambda name: hashlib.sha256(nonce + name.encode()).digest())[:_SAMPLE_OBJECTS]:
            size += named[each]
            if taken and size > _SAMPLE_BYTES:
                break
            taken.append(each)
        return taken

    def log(self) -> Seen:
        """Every entry hashes to what the checkpoints were signed over."""
        verdicts = [self.watch.verify(organization, ()) for organization in self.watch.logs()]
        bad = [each for each in verdicts if each.findings]
        if bad:
            first = bad[0]
            return fail(f"the log of {first.organization}: {first.findings[0]}", f"baybridge audit verify --home {self.home.root}")
        return ok(f"{len(verdicts)} logs, {sum(each.size for each in verdicts):,} entries, each hashed again up to its newest checkpoint")

    def kept_outside(self) -> Seen:
        """Every log goes on from the checkpoint kept outside the home: it was not set back in time as a whole."""
        if not self.outside.place:
            return warn("no checkpoint is kept outside: a home set back in time would not be noticed", _KEEP_OUTSIDE)
        lost = self.outside.lost()
        if lost:
            return fail(lost[0].how, f"baybridge restore --home {self.home.root} --who NAME --reason TEXT")
        kept = [organization for organization in self.watch.logs()[:1] if self.outside.kept(organization)]
        if not kept:
            return warn("nothing is kept outside yet; the server does it", f"baybridge serve --home {self.home.root}")
        return ok("every log goes on from the checkpoint kept outside")

    def newest_entry(self) -> Seen:
        """The clock is not behind what was already entered: else agreements would end late."""
        now, ahead = self.clock(), list[str]()
        with self.database.read() as connection:
            for organization in audit_store.logs(connection):
                size = audit_store.frontier(connection, organization).size
                newest = [decode(data).time for _, data in audit_store.entries(connection, organization, start=max(0, size - 1), limit=1)]
                ahead += [organization for each in newest if each > now + _AHEAD]
        if ahead:
            return fail(f"the newest entry of {_some(ahead)} is in the future", "timedatectl")
        return ok("no entry is newer than the clock")

    def purges(self) -> Seen:
        """No purge is half done."""
        with self.database.read() as connection:
            begun = catalog.in_state(connection, State.PURGING)
        if begun:
            which = _some(f"version {number} of {name}" for name, number in begun)
            return warn(f"{len(begun)} versions are being purged: {which}", f"baybridge serve --home {self.home.root}")
        return ok("no purge is unfinished")

    def jobs(self) -> Seen:
        """No job is dead, and none has waited long for a worker."""
        with self.database.read() as connection:
            found = jobs.counts(connection, now=self.clock())
        dead, waiting, at = found.states[jobs.State.DEAD], found.states[jobs.State.QUEUED], f"--home {self.home.root}"
        if dead:
            return warn(f"{dead} jobs are dead", f"baybridge jobs list --state dead {at}")
        if found.lag > _LAG:
            return warn(f"a job has been due for {found.lag.total_seconds():.0f} s, and no worker has taken it", f"baybridge serve {at}")
        return ok(f"{waiting} jobs wait, none is dead or late")

    def agreements_ending(self) -> Seen:
        """No agreement in force ends soon without a successor."""
        now = self.clock()
        with self.database.read() as connection:
            in_force = [each for each in agreements.all_agreements(connection) if each.standing(now) is Standing.ACTIVE]
        ending = [each for each in in_force if each.terms is not None and each.successor is None and each.terms.end < now + ENDING_WITHIN]
        if ending:
            which = _some(f"{each.id} on {each.dataset}" for each in ending)
            return warn(f"{len(ending)} end within {ENDING_WITHIN.days} days: {which}", f"baybridge agreement show {ending[0].id}")
        return ok(f"{len(in_force)} agreements in force, none ends within {ENDING_WITHIN.days} days")

    def second_person(self) -> Seen:
        """No role waits for a second person."""
        with self.database.read() as connection:
            people = [each for one in principals.organizations(connection) for each in principals.principals(connection, one.name)]
        waiting = [each for each in people if each.pending]
        if waiting:
            which = _some(f"{each.id} of {each.organization}" for each in waiting)
            return warn(f"{len(waiting)} wait for a colleague to confirm a role: {which}", f"baybridge user confirm {waiting[0].id}")
        return ok(f"{len(people)} principals, no role waits")

    def extracts(self) -> Seen:
        """What extracts take on the disk. They can always be made again, so that removing them is safe while nothing serves."""
        files = [path for path in self.home.extracts.rglob("*") if path.is_file()]
        size, free = sum(path.stat().st_size for path in files), shutil.disk_usage(self.home.extracts).free
        evidence = f"{_bytes(size)} in {len(files)} files"
        return warn(f"{evidence}, more than is free", f"du -sh {self.home.extracts}") if size > free else ok(evidence)


OPENED: Final = ("objects", "log", "outside", "clock", "purges", "jobs", "agreements_ending", "second_person", "extracts")
"""The checks that a home must open for."""


def not_looked_at(seen: Seen) -> tuple[Check, ...]:
    """These, for a home that does not open: `seen` says why."""
    return tuple(look(name, lambda: seen, fix="") for name in OPENED)


def server(url: str) -> Check:
    """Look whether a server answers at that address, and says that it can work."""

    def see() -> Seen:
        try:
            answer = httpx2.get(f"{url.rstrip('/')}/readyz", timeout=_SECONDS)
            failing = answer.json()["failing"]
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError):
            return fail("nothing that is a Baybridge server answers there", "baybridge serve")
        return (
            ok("it answers, and is ready")
            if answer.is_success
            else fail(f"it answers, and cannot use {_some(failing)}", "baybridge doctor")
        )

    return look("server", see, fix="baybridge serve")


def free_disk(free: int, root: Path, *, least: int = _FAIL_FREE, enough: int = _WARN_FREE) -> Seen:
    """Judge what is free: below `least` bytes nothing can be published safely, below `enough` it soon will not."""
    evidence, fix = f"{_bytes(free)} free", f"df -h {root}"
    if free < least:
        return fail(evidence, fix)
    return warn(evidence, fix) if free < enough else ok(evidence)


def _some(names: Iterable[object]) -> str:
    listed = [str(each) for each in names]
    return ", ".join(listed[:_NAMED]) + (f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else "")


def _bytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"
