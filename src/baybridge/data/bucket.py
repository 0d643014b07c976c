"""Immutable objects in a bucket of an S3-compatible store, under a prefix. What `data.objects` says of them holds here too.

An object is written once, with If-None-Match: * (a second writer of the same name is refused by the store, and has written the same
bytes), and the store checks each part against its checksum. What is read is hashed again before anything opens it. `require_fit`
refuses a store that could lose or keep something behind our back.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from baybridge.data.objects import PROBE, Stored, hash_file, not_written
from baybridge.data.turns import Hold, Turn
from baybridge.errors import Advice, Corrupt, Invalid, Place, Unavailable

_PART: Final = 16 << 20
_PARTS: Final = 10_000
"""A multipart upload has at most this many parts (S3 user guide, "multipart upload limits")."""
_DELETED_AT_ONCE: Final = 1000
_READS: Final = 4
_PAUSE_SECONDS: Final = 0.2
_BROKEN_OFF: Final = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_THERE: Final = frozenset({"PreconditionFailed", "412"})
_MISSING: Final = frozenset({"NoSuchKey", "NotFound", "404"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where a bucket is: `s3://bucket/prefix`, and the store's own URL where it is not Amazon's."""

    bucket: str
    prefix: str
    endpoint: str | None

    @classmethod
    def parse(cls, text: str, endpoint: str) -> Address:
        """Read what the settings `objects` and `objects_endpoint` say; the settings have checked their form."""
        bucket, _, prefix = text.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        return cls(bucket, f"{prefix}/" if prefix else "", endpoint or None)


class Bucket:
    """The objects under one prefix of one bucket. Credentials and region come from where every S3 client has them."""

    def __init__(self, address: Address, turn: Turn) -> None:
        """Connect nothing yet."""
        self._address = address
        self._turn = turn
        self._client = boto3.client(
            "s3",
            endpoint_url=address.endpoint,
            config=Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "total_max_attempts": 5},
                signature_version="s3v4",
                s3={"addressing_style": "path" if address.endpoint else "auto"},
                max_pool_connections=16,
            ),
        )

    def adopt(self, source: Path) -> Stored:
        """Send the file, and remove it here once the store has said that it has it."""
        digest, size = hash_file(source)
        with _reaching():
            if not self._has(digest, size):
                self._put(digest, source, size)
        source.unlink()
        return Stored(digest, size)

    def adopting(self) -> AbstractContextManager[Hold]:
        """Hold the turn with others who adopt."""
        return self._turn.shared()

    def collect(self, named: Callable[[], frozenset[str]]) -> None:
        """Delete every object that is not named, and the parts of uploads that never ended: those hold rows too."""
        with self._turn.alone():
            self._collect(named())

    def collect_unless_adopting(self, named: Callable[[], frozenset[str]]) -> None:
        """The same, where nobody is adopting now."""
        with suppress(BlockingIOError), self._turn.alone_now():
            self._collect(named())

    def _collect(self, kept: frozenset[str]) -> None:
        with _reaching():
            self._abort_uploads()
            garbage = [name for name in self.sizes() if name not in kept]
            for start in range(0, len(garbage), _DELETED_AT_ONCE):
                self._delete(garbage[start : start + _DELETED_AT_ONCE])

    def fetch(self, names: Sequence[str], into: Path) -> tuple[Path, ...]:
        """Copy the objects, each hashed on its way, and raise Corrupt where one is not what was written."""
        with _reaching():
            return tuple(self._fetch(name, into / name) for name in names)

    def sizes(self) -> dict[str, int]:
        """What the bucket lists under the prefix."""
        with _reaching():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._address.bucket, Prefix=self._address.prefix)
            return {each["Key"].rpartition("/")[2]: each["Size"] for page in pages for each in page.get("Contents", ())}

    def check(self, sha256: str) -> None:
        """Read all of it, and hash it."""
        with _reaching():
            self._read(sha256, Path(os.devnull))

    def reach(self) -> None:
        """Ask for the bucket, and for nothing in it."""
        with _reaching():
            self._client.head_bucket(Bucket=self._address.bucket)

    def probe(self) -> None:
        """Do it under a name that no object has."""
        with _reaching(), self._probed() as key:
            self._client.put_object(Bucket=self._address.bucket, Key=key, Body=PROBE)
            if self._client.get_object(Bucket=self._address.bucket, Key=key)["Body"].read() != PROBE:
                raise Corrupt("corrupt", "What was written is not what was read back.")

    def restored(self, sha256: str) -> str:
        """Copy it from a bucket that is a backup."""
        endpoint = f" --endpoint-url {self._address.endpoint}" if self._address.endpoint else ""
        return f"aws s3 cp s3://BACKUP/{self._key(sha256)} s3://{self._address.bucket}/{self._key(sha256)}{endpoint}"

    def require_fit(self) -> None:
        """Raise Invalid (`settings_invalid`) for a store that accepts a second put under a name, or keeps what is deleted.

        Both were seen: a store that ignored If-None-Match lost acknowledged writes, and a bucket with versions gives a purged object
        to whoever asks for its older version.
        """
        with _reaching():
            if self._client.get_bucket_versioning(Bucket=self._address.bucket).get("Status"):
                raise _unfit("keeps older versions of what is deleted", "Name a bucket that never had versioning.")
            with self._probed() as key:
                first = {"Bucket": self._address.bucket, "Key": key, "Body": PROBE, "IfNoneMatch": "*"}
                self._refuses(first)  # also a first put: the answer may be lost, and the client sends it again
                if not self._refuses(first):
                    raise _unfit("accepts a second put with If-None-Match: *", "Name a store that honours conditional writes.")

    def _refuses(self, put: dict[str, Any]) -> bool:
        try:
            self._client.put_object(**put)
        except ClientError as refusal:
            if _code(refusal) in _THERE:
                return True
            raise
        return False

    @contextmanager
    def _probed(self) -> Iterator[str]:
        """A key of its own for a probe, gone when the block ends."""
        key = f"{self._address.prefix}probes/{secrets.token_hex(8)}"
        try:
            yield key
        finally:
            self._client.delete_object(Bucket=self._address.bucket, Key=key)

    def _key(self, sha256: str) -> str:
        return f"{self._address.prefix}{sha256[:2]}/{sha256}"

    def _has(self, sha256: str, size: int) -> bool:
        try:
            found = self._client.head_object(Bucket=self._address.bucket, Key=self._key(sha256))
        except ClientError as error:
            if _code(error) in _MISSING:
                return False
            raise
        return bool(found["ContentLength"] == size)

    def _put(self, sha256: str, source: Path, size: int) -> None:
        """Send the whole file once, in parts where it is large. Another who was first has sent the same bytes."""
        where = {"Bucket": self._address.bucket, "Key": self._key(sha256)}
        try:
            if size <= _PART:
                checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
                self._client.put_object(**where, Body=source.read_bytes(), ChecksumSHA256=checksum, IfNoneMatch="*")
            else:
                self._put_parts(where, source, size)
        except ClientError as refusal:
            if _code(refusal) not in _THERE or not self._has(sha256, size):
                raise

    def _put_parts(self, where: dict[str, str], source: Path, size: int) -> None:
        upload = self._client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
        try:
            parts = [self._put_part(where, upload, number, part) for number, part in enumerate(_parts(source, size), 1)]
            self._client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        except BaseException:
            self._client.abort_multipart_upload(**where, UploadId=upload)
            raise

    def _put_part(self, where: dict[str, str], upload: str, number: int, part: bytes) -> dict[str, object]:
        checksum = base64.b64encode(hashlib.sha256(part).digest()).decode()
        sent = self._client.upload_part(**where, UploadId=upload, PartNumber=number, Body=part, ChecksumSHA256=checksum)
        return {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

    def _fetch(self, sha256: str, target: Path) -> Path:
        self._read(sha256, target)
        return target

    def _read(self, sha256: str, target: Path) -> None:
        """Read all of it, hashed on its way; again from the start where the connection breaks within it, which no client's retries mend."""
        for left in reversed(range(_READS)):
            try:
                digest = self._copy(sha256, target)
            except _BROKEN_OFF:
                if not left:
                    raise
                time.sleep(_PAUSE_SECONDS * (_READS - left))
            else:
                if digest != sha256:
                    raise not_written(sha256)
                return

    def _copy(self, sha256: str, target: Path) -> str:
        digest = hashlib.sha256()
        with target.open("wb") as file:
            for chunk in self._chunks(sha256):
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    def _chunks(self, sha256: str) -> Iterator[bytes]:
        try:
            body = self._client.get_object(Bucket=self._address.bucket, Key=self._key(sha256))["Body"]
        except ClientError as error:
            if _code(error) in _MISSING:
                raise not_written(sha256) from error
            raise
        yield from body.iter_chunks(1 << 20)

    def _abort_uploads(self) -> None:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._address.bucket, Prefix=self._address.prefix)
        for each in [each for page in pages for each in page.get("Uploads", ())]:
            self._client.abort_multipart_upload(Bucket=self._address.bucket, Key=each["Key"], UploadId=each["UploadId"])

    def _delete(self, names: Sequence[str]) -> None:
        gone = {"Objects": [{"Key": self._key(each)} for each in names], "Quiet": True}
        answer = self._client.delete_objects(Bucket=self._address.bucket, Delete=gone)
        if answer.get("Errors"):
            raise _unreachable(f"The store of objects did not delete {len(answer['Errors'])} of {len(names)} objects.")


def _parts(source: Path, size: int) -> Iterator[bytes]:
    length = max(_PART, -(-size // _PARTS))
    with source.open("rb") as file:
        while part := file.read(length):
            yield part


@contextmanager
def _reaching() -> Iterator[None]:
    """Tell what the store, or the way to it, says wrong as Unavailable; its own words may name keys, and stay out."""
    try:
        yield
    except ClientError as error:
        raise _unreachable(f"The store of objects answered {_code(error)}.") from error
    except BotoCoreError as error:
        raise _unreachable(f"The store of objects cannot be reached ({type(error).__name__}).") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "without a code"))


def _unreachable(detail: str) -> Unavailable:
    return Unavailable(
        "objects_unreachable",
        detail,
        advice=Advice(
            rule="A version's rows are where the setting objects says, and nothing is served or published without them.",
            who_can_change="the operator",
            next_step="Send the same request again in a moment; the operator looks at the store, its credentials and the way to it.",
            next_command="baybridge doctor",
        ),
        retry_after=5,
    )


def _unfit(what: str, next_step: str) -> Invalid:
    return Invalid(
        "settings_invalid",
        f"The store that the setting objects names {what}.",
        advice=Advice(
            rule="An object is written once, and a purge destroys it.",
            who_can_change="the operator",
            next_step=next_step,
        ),
        places=(Place("objects", what),),
    )
