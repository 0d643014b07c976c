"""The verbs bound to their dependencies: the only wiring. Clock and entropy of the whole program come from here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from baybridge.agree import Agree, Desk, Inbox, SignTogether
from baybridge.audit.log import Log
from baybridge.data.engines.duckdb import Engine
from baybridge.data.extracts import Extracts
from baybridge.data.ingest.limits import Limits
from baybridge.data.ingest.room import shared_room
from baybridge.data.objects import Objects
from baybridge.db import Database
from baybridge.disclose import Disclose
from baybridge.errors import Advice, BaybridgeError, Conflict
from baybridge.operate.administer import Administer
from baybridge.operate.doctor import Check, Doctor, Files, fail, not_looked_at, warn
from baybridge.operate.erase import Erase
from baybridge.operate.home import Home, Keys, find_home, make_home, read_keys
from baybridge.operate.look import Look
from baybridge.operate.outside import Outside
from baybridge.operate.prove import Prove
from baybridge.operate.replies import Replies
from baybridge.operate.rotate import Rotate, settle_rotation
from baybridge.operate.settings import Setting, Settings, load_settings
from baybridge.operate.watch import Watch
from baybridge.publish import Publish
from baybridge.publish.purge import Purge
from baybridge.publish.withdraw import Withdraw
from baybridge.publish.workspaces import Workspaces


@dataclass(frozen=True, slots=True)
class Exchange:
    """One open exchange: its verbs, ready to be called. Close it when done; a second `open` on the same home is allowed."""

    home: Home
    settings: Settings
    listed: tuple[Setting, ...]
    keys: Keys
    database: Database
    log: Log
    administer: Administer
    publish: Publish
    withdraw: Withdraw
    purge: Purge
    agree: Agree
    umbrellas: SignTogether
    inbox: Inbox
    disclose: Disclose
    watch: Watch
    prove: Prove
    erase: Erase
    rotate: Rotate
    outside: Outside
    catalog: Look
    replies: Replies
    doctor: Doctor

    @classmethod
    def make(cls, root: Path, *, origin: str) -> Self:
        """Make a home with an empty catalog, and open it. Raise Conflict where there is one."""
        make_home(root, origin=origin, make_catalog=_make_catalog)
        return cls.open(root)

    @classmethod
    def open(cls, root: Path, *, flags: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None) -> Self:
        """Open the home in that folder. Raise NotFound, Invalid (settings), Corrupt (keys) or Conflict (another schema)."""
        home = find_home(root.absolute())
        settings, listed = load_settings(home, flags=flags or {}, environment=environment or {})
        keys = read_keys(home)
        if settings.wrapping_key is not None:
            keys = replace(keys, wrapping=settings.wrapping_key.value)
        database = _open_catalog(home)
        log = Log(database=database, origin=settings.origin, clock=_now, entropy=secrets.token_bytes)
        keys = settle_rotation(home, database, log, keys)
        objects = Objects(home.objects)
        watch = Watch(database, log, _now, keys.log)
        desk = Desk(database, log, _now, secrets.token_bytes, keys.wrapping)
        agree = Agree(desk)
        extracts = Extracts(home.extracts, objects, memory_limit=settings.build_memory)
        engine = Engine(memory_limit=settings.engine_memory)
        workspaces = Workspaces(home.scratch)
        outside = Outside(settings.checkpoint_copy, home, database, log, watch, secrets.token_bytes)
        return cls(
            home=home,
            settings=settings,
            listed=listed,
            keys=keys,
            database=database,
            log=log,
            administer=Administer(database, log, agree, _now, secrets.token_bytes),
            publish=Publish(database, log, objects, workspaces, _now, shared_room(), _publish_limits(settings)),
            withdraw=Withdraw(database, log, _now),
            purge=Purge(
                database=database,
                log=log,
                objects=objects,
                extracts=extracts,
                engine=engine,
                workspaces=workspaces,
                clock=_now,
            ),
            agree=agree,
            umbrellas=SignTogether(desk),
            inbox=Inbox(desk),
            disclose=Disclose(
                database=database,
                log=log,
                extracts=extracts,
                engine=engine,
                clock=_now,
                entropy=secrets.token_bytes,
                wrapping_key=keys.wrapping,
                wait=settings.extract_wait_seconds,
            ),
            watch=watch,
            prove=Prove(database, log, watch),
            erase=Erase(database, log, _now, settings.side_record_days),
            rotate=Rotate(home, database, log, _now, keys),
            outside=outside,
            catalog=Look(database),
            replies=Replies(database, _now),
            doctor=Doctor(home, database, objects, watch, outside, _now, secrets.token_bytes),
        )

    def sign(self) -> None:
        """Sign the logs that have grown, and keep their checkpoints outside the home too."""
        try:
            self.watch.sign_new()
        finally:  # one log that cannot be signed must not keep the others from being kept
            self.outside.renew()

    def sweep(self) -> None:
        """Finish purges that were begun, and let go of extracts that another process has purged."""
        try:
            self.purge.finish()
        finally:
            self.disclose.let_go()

    def expire(self) -> None:
        """What is due by the clock: side records that were kept for their days are erased."""
        self.erase.expire(_now())

    def failing_parts(self) -> list[str]:
        """The parts of the home that cannot be used now: catalog, objects, keys."""
        checks: dict[str, Callable[[], object]] = {
            "catalog": lambda: _require_schema(self.database),
            "objects": self.home.objects.stat,
            "keys": lambda: read_keys(self.home),
        }
        return [part for part, check in checks.items() if not _works(check)]

    def close(self) -> None:
        """Finish what waits, and let go of every file."""
        self.disclose.extracts.close()
        self.log.close()
        self.disclose.engine.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def examine(root: Path, *, environment: Mapping[str, str]) -> tuple[Check, ...]:
    """Look at the home in that folder, also where it does not open. Raise NotFound where there is none."""
    home = find_home(root.absolute())
    database = _catalog(home)
    files = Files(home, environment, lambda: _origins(home, environment), database)
    found = files.checks()
    database.close()
    again = f"baybridge doctor --home {home.root}"
    if not files.sound(found):
        return (*found, *not_looked_at(warn("not looked at: the home does not open", again)))
    try:
        exchange = Exchange.open(root, environment=environment)
    except BaybridgeError as wrong:
        return (*found, *not_looked_at(fail(wrong.detail, wrong.advice.next_command or again)))
    with exchange:
        return (*found, *exchange.doctor.checks())


def _origins(home: Home, environment: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(each.origin for each in load_settings(home, flags={}, environment=environment)[1])


def _catalog(home: Home) -> Database:
    return Database(sa.URL.create("sqlite", database=str(home.database)))  # not text: a folder's name may have a ? in it


def _make_catalog(home: Home) -> None:
    database = _catalog(home)
    database.migrate()
    database.close()


def _open_catalog(home: Home) -> Database:
    database = _catalog(home)
    try:
        _require_schema(database)
    except Conflict:
        database.close()
        raise
    return database


def _require_schema(database: Database) -> None:
    present, needed = database.revisions()
    if present != needed:
        raise Conflict(
            "conflict",
            f"The catalog is at revision {present}, and this program needs {needed}.",
            advice=Advice(
                rule="A program opens only a catalog of its own revision.",
                who_can_change="the operator",
                next_step="Install the version of Baybridge that made this home, or a newer one that can bring it up to date.",
            ),
        )


def _works(check: Callable[[], object]) -> bool:
    try:
        check()
    except (BaybridgeError, OSError, SQLAlchemyError):
        return False
    return True


def _publish_limits(settings: Settings) -> Limits:
    return Limits.of(settings.build_memory, settings.publish_seconds, settings.publish_bytes)


def _now() -> datetime:
    return datetime.now(UTC)
