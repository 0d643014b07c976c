"""Stores of objects for tests: a real S3 server (moto), and one that ignores what must not be ignored."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import boto3

CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True)
class Store:
    """A running S3 server: where it is, and a client of its own, which knows nothing of ours."""

    url: str

    @property
    def client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.url)

    def bucket(self, name: str) -> str:
        self.client.create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str) -> list[str]:
        return [
            each["Key"]
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            for each in page.get("Contents", ())
        ]

    def body(self, bucket: str, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=bucket, Key=key)["Body"].read())


@contextmanager
def running_store() -> Iterator[Store]:
    """A real S3 server on a free port of loopback, in a process of its own."""
    code = (
        "from werkzeug.serving import make_server; from moto.server import DomainDispatcherApplication, create_backend_app;"
        "server = make_server('127.0.0.1', 0, DomainDispatcherApplication(create_backend_app), threaded=True);"
        "print(server.port, flush=True); server.serve_forever()"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **CREDENTIALS},
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Store(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
