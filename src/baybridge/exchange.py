"""The verbs bound to their dependencies: the only wiring. Clock and entropy of the whole program come from here."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
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
from baybridge.data.objects import Folder, Objects
from baybridge.data.turns import CatalogTurn, FolderTurn, Turn
from baybridge.db import Database
from baybridge.disclose import Disclose
from baybridge.errors import Advice, BaybridgeError, Conflict
from baybridge.operate.administer import Administer
from baybridge.operate.administer_jobs import AdministerJobs
from baybridge.operate.doctor import Check, Doctor, Files, fail, not_looked_at, warn
from baybridge.operate.erase import Erase
from baybridge.operate.home import Home, Keys, find_home, make_home, read_keys
from baybridge.operate.look import Look
from baybridge.operate.outside import Outside
from baybridge.operate.pins import pin
from baybridge.operate.prove import Prove
from baybridge.operate.replies import Replies
from baybridge.operate.rotate import Rotate, settle_rotation
from baybridge.operate.settings import Setting, Settings, bytes_of, load_settings
from baybridge.operate.upkeep import Upkeep
from baybridge.operate.warm import Warm
from baybridge.operate.watch import Watch
from baybridge.operate.witness import Witness
from baybridge.operate.worker import Worker
from baybridge.publish import Publish
from baybridge.publish.purge import Purge
from baybridge.publish.rejects import KeepRejects
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
    objects: Objects
    log: Log
    administer: Administer
    publish: Publish
    rejects: KeepRejects
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
    witness: Witness
    catalog: Look
    replies: Replies
    upkeep: Upkeep
    worker: Worker
    jobs: AdministerJobs
    doctor: Doctor

    @classmethod
    def make(cls, root: Path, *, origin: str, catalog: str = "", environment: Mapping[str, str] | None = None) -> Self:
        """Make a home with an empty catalog, or a node of one on PostgreSQL, and open it. Raise Conflict where there is a home."""
        flags = {"origin": origin, "catalog": catalog or None}
        make_home(
            root, origin=origin, make_catalog=lambda home: _make_catalog(home, flags=flags, environment=environment or {}), catalog=catalog
        )
        return cls.open(root, environment=environment)

    @classmethod
    def open(cls, root: Path, *, flags: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None) -> Self:
        """Open the home in that folder. Raise NotFound, Invalid (settings), Corrupt (keys) or Conflict (another schema)."""
        home = find_home(root.absolute())
        settings, listed = load_settings(home, flags=flags or {}, environment=environment or {})
        keys = _keys(home, settings)
        database = _open_catalog(home, settings)
        log = Log(database=database, origin=settings.origin, clock=_now, entropy=secrets.token_bytes)
        try:
            keys = settle_rotation(home, database, log, keys)
            pin(database, settings.origin, keys)
            objects = _open_objects(home, settings, database)
        except BaybridgeError:
            database.close()
            raise
        watch = Watch(database, log, _now, keys.log)
        desk = Desk(database, log, _now, secrets.token_bytes, keys.wrapping)
        agree = Agree(desk)
        budget = bytes_of(settings.extract_budget)
        extracts = Extracts(home.extracts, objects, memory_limit=settings.build_memory, budget=budget, clock=_now)
        engine = Engine(memory_limit=settings.engine_memory)
        workspaces = Workspaces(home.scratch)
        token = None if settings.checkpoint_copy_token is None else settings.checkpoint_copy_token.value.decode()
        outside = Outside(settings.checkpoint_copy, home, database, log, watch, secrets.token_bytes, token)
        purge = Purge(database=database, log=log, objects=objects, extracts=extracts, engine=engine, workspaces=workspaces, clock=_now)
        erase = Erase(database, log, _now, settings.side_record_days)
        warm = Warm(database, extracts, _now, keys.wrapping)
        rejects = KeepRejects(database, log, objects, workspaces, _now, settings.rejects_days)
        upkeep = Upkeep(database, objects, extracts, workspaces, purge, erase, warm, rejects, _now)
        return cls(
            home=home,
            settings=settings,
            listed=listed,
            keys=keys,
            database=database,
            objects=objects,
            log=log,
            administer=Administer(database, log, agree, _now, secrets.token_bytes),
            publish=Publish(
                database=database,
                log=log,
                objects=objects,
                workspaces=workspaces,
                clock=_now,
                room=shared_room(),
                limits=_publish_limits(settings),
                entropy=secrets.token_bytes,
                rejects=rejects,
            ),
            rejects=rejects,
            withdraw=Withdraw(database, log, _now),
            purge=purge,
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
            erase=erase,
            rotate=Rotate(home, database, log, _now, keys),
            outside=outside,
            witness=Witness(database, log, _now),
            catalog=Look(database),
            replies=Replies(database, _now),
            upkeep=upkeep,
            worker=Worker(
                database=database,
                kinds=upkeep.kinds(),
                clock=_now,
                chance=secrets.SystemRandom().random,
                name=f"{socket.gethostname()}:{os.getpid()}",
                lease=timedelta(seconds=settings.job_lease_seconds),
            ),
            jobs=AdministerJobs(database, _now),
            doctor=Doctor(home, database, objects, watch, outside, _now, secrets.token_bytes),
        )

    def held(self) -> AbstractContextManager[None]:
        """Serve the home: alone where its catalog is SQLite, else beside others. Raise Conflict where that cannot be."""
        return self.home.shared() if self.database.shared else self.home.held()

    def sign(self) -> None:
        """Sign the logs that have grown, and keep their checkpoints outside the home too."""
        try:
            self.watch.sign_new()
        finally:  # one log that cannot be signed must not keep the others from being kept
            self.outside.renew()

    def working(self) -> AbstractContextManager[None]:
        """Run jobs beside the block, unless the settings leave that to another process."""
        return self.worker.running() if self.settings.worker else nullcontext()

    def sweep(self) -> None:
        """Let go of extracts that another process or node has purged."""
        try:
            self.purge.follow()
        finally:
            self.disclose.let_go()

    def failing_parts(self) -> list[str]:
        """The parts of the home that cannot be used now: catalog, objects, keys."""
        checks: dict[str, Callable[[], object]] = {
            "catalog": lambda: _require_schema(self.database),
            "objects": self.objects.reach,
            "keys": lambda: pin(self.database, self.settings.origin, _keys(self.home, self.settings)),
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
    database = _examined_catalog(home, environment)
    files = Files(
        home=home,
        environment=environment,
        read_settings=lambda: _origins(home, environment),
        database=database,
        probe=lambda: _objects(home, load_settings(home, flags={}, environment=environment)[0], database).probe(),
    )
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


def _examined_catalog(home: Home, environment: Mapping[str, str]) -> Database:
    try:
        return _catalog(home, load_settings(home, flags={}, environment=environment)[0])
    except BaybridgeError:  # its own check says what is wrong with the settings
        return _catalog(home, Settings())


def _objects(home: Home, settings: Settings, database: Database) -> Objects:
    turn: Turn = CatalogTurn(database) if database.shared else FolderTurn(home.objects)
    if not settings.objects:
        return Folder(home.objects, turn)
    from baybridge.data.bucket import Address, Bucket  # noqa: PLC0415 -- takes 0.2 s to import, and most homes have no bucket

    return Bucket(Address.parse(settings.objects, settings.objects_endpoint), turn)


def _open_objects(home: Home, settings: Settings, database: Database) -> Objects:
    """Give the home's objects, from a store that is fit to hold them."""
    objects = _objects(home, settings, database)
    objects.require_fit()
    return objects


def _catalog(home: Home, settings: Settings) -> Database:
    if not settings.catalog:
        return Database(sa.URL.create("sqlite", database=str(home.database)))  # not text: a folder's name may have a ? in it
    url = sa.make_url(settings.catalog).set(drivername="postgresql+psycopg")
    if settings.catalog_password is not None:
        url = url.set(password=settings.catalog_password.value.decode())
    return Database(url, connections=settings.catalog_connections)


def _make_catalog(home: Home, *, flags: Mapping[str, object], environment: Mapping[str, str]) -> None:
    settings, _ = load_settings(home, flags=flags, environment=environment)
    database = _catalog(home, settings)
    try:
        database.migrate()
        pin(database, settings.origin, _keys(home, settings))
    finally:
        database.close()


def _keys(home: Home, settings: Settings) -> Keys:
    keys = read_keys(home)
    return keys if settings.wrapping_key is None else replace(keys, wrapping=settings.wrapping_key.value)


def _open_catalog(home: Home, settings: Settings) -> Database:
    database = _catalog(home, settings)
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
