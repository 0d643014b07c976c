"""How a dataset or a version ends: withdrawn, restored, and purged for good."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click

from baybridge.cli.session import Session, door_options
from baybridge.wire.collections import CollectionShape, PurgeShape, VersionShape

_version = click.option("--version", type=click.IntRange(min=1), help="Only this version. [default: all of the dataset]")


@click.command()
@click.argument("dataset")
@_version
@click.option("--reason", required=True, metavar="TEXT", help="Why; everyone can read it, so name no person.")
@door_options
def withdraw(session: Session, dataset: str, version: int | None, reason: str) -> None:
    """Refuse DATASET, or a version of it, to everyone until it is restored. Nothing is destroyed."""
    with session.door() as door:
        moved = door.withdraw(dataset, reason) if version is None else door.withdraw_version(dataset, version, reason)
    session.show(moved, [_stands(dataset, moved)])
    session.note(f"Undo it with: baybridge restore-version {_named(dataset, version)}")


@click.command("restore-version")
@click.argument("dataset")
@_version
@door_options
def restore_version(session: Session, dataset: str, version: int | None) -> None:
    """Give back what was withdrawn of DATASET, exactly as it was."""
    with session.door() as door:
        moved = door.restore(dataset) if version is None else door.restore_version(dataset, version)
    session.show(moved, [_stands(dataset, moved)])


@click.command()
@click.argument("dataset")
@_version
@click.option("--reason", required=True, metavar="TEXT", help="Why; everyone can read it, so name no person.")
@click.option("--yes", "plan_sha256", metavar="SHA256", help="Destroy what the plan with this digest names. [default: show the plan]")
@door_options
def purge(session: Session, *, dataset: str, version: int | None, reason: str, plan_sha256: str | None) -> None:
    """Destroy DATASET, or a version of it, for good. It must be withdrawn.

    Without --yes nothing is destroyed: the plan is shown, with its digest. What is destroyed is what someone has looked at.
    """
    with session.door() as door:
        if plan_sha256 is None:
            plan = door.plan_purge(dataset, reason, version=version)
        else:
            plan = door.purge(dataset, reason, plan_sha256, version=version)
    session.show(plan, _plan_lines(plan))
    if not plan.purged:
        again = f"baybridge purge {_named(dataset, version)} --reason {shlex.quote(reason)} --yes {plan.plan_sha256}"
        session.note(f"Nothing was destroyed. To do it: {again}")


def _named(dataset: str, version: int | None) -> str:
    return dataset if version is None else f"{dataset} --version {version}"


def _stands(dataset: str, moved: CollectionShape | VersionShape) -> str:
    what = dataset if isinstance(moved, CollectionShape) else f"version {moved.version} of {dataset}"
    return f"{what}: {moved.state}" + (f", {moved.reason}" if moved.reason else "")


def _plan_lines(plan: PurgeShape) -> Iterator[str]:
    yield f"{plan.dataset}: {'destroyed' if plan.purged else 'would be destroyed'}"
    yield f"  versions      {', '.join(str(each) for each in plan.versions)}"
    yield f"  rows          {plan.rows:,}"
    yield f"  objects       {plan.objects:,}, {plan.bytes:,} bytes; {plan.shared_objects:,} more stay, other versions hold them"
    yield f"  extracts      {plan.extracts:,}"
    yield f"  side records  {plan.side_records:,}"
    yield f"  plan          {plan.plan_sha256}"
