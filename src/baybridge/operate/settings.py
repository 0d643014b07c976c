"""The settings of a home: what each may be, and where its value came from. Secrets are never shown."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec

from baybridge.errors import Advice, Invalid, Place
from baybridge.names import nearest
from baybridge.operate.home import Home, require_origin

ENVIRONMENT_PREFIX: Final = "BAYBRIDGE_"
_OWN_VARIABLES: Final = frozenset({"BAYBRIDGE_HOME", "BAYBRIDGE_URL", "BAYBRIDGE_TOKEN", "BAYBRIDGE_TOKEN_FILE"})
"""Variables of the command line, which are not settings of a home."""


_FILE: Final = "_file"
_KEY_BYTES: Final = 32
_CATALOG: Final = msgspec.Meta(pattern=r"^(postgresql://[^\s\"'\\]+)?\Z")
_CONNECTIONS: Final = msgspec.Meta(ge=4, le=1000)
_TEXTS: Final = {"checkpoint_copy_token": re.compile(r"[\x21-\x7e]{1,1000}"), "catalog_password": re.compile(r".{1,1000}")}
_PORTS: Final = msgspec.Meta(ge=0, le=65535)
_SECONDS: Final = msgspec.Meta(gt=0)
_LEASE: Final = msgspec.Meta(gt=0, le=600)
_PLACE: Final = msgspec.Meta(pattern=r"^(/.+|https?://.+)?\Z")
_BUCKET: Final = msgspec.Meta(pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?)?\Z")
_URL: Final = msgspec.Meta(pattern=r"^(https?://.+)?\Z")
_DAYS: Final = msgspec.Meta(ge=0, le=36_500)
_MEMORY: Final = msgspec.Meta(pattern=r"^[1-9][0-9]{0,5} ?[KMGT]i?B\Z")


def _setting(default: Any, doc: str, within: msgspec.Meta | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "within": within or msgspec.Meta()})


def _secret(doc: str) -> Any:
    return field(default=None, metadata={"doc": doc, "secret": True})


@dataclass(frozen=True, slots=True)
class Secret:
    """A setting's value that is never shown. It comes from the environment or from a file that the environment names."""

    value: bytes = field(repr=False)

    def __str__(self) -> str:
        """What is shown in its place."""
        return "set"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a home. Each comes from a flag, else BAYBRIDGE_NAME, else baybridge.toml, else its default."""

    origin: str = _setting("baybridge.localhost", "The name that this home's logs are known by, usually its host name.")
    catalog: str = _setting("", "Where the catalog is: empty for SQLite in the home, or postgresql://USER@HOST/NAME.", _CATALOG)
    catalog_password: Secret | None = _secret("The password of the catalog's user; unset, PostgreSQL's own ways to sign in are left.")  # noqa: RUF009 -- a field
    catalog_connections: int = _setting(20, "How many connections to PostgreSQL each process makes at most.", _CONNECTIONS)
    host: str = _setting("127.0.0.1", "The address that `serve` listens on.")
    port: int = _setting(8080, "The port that `serve` listens on; 0 takes a free one and prints it.", _PORTS)
    extract_wait_seconds: float = _setting(2.0, "How long a request waits for an extract that is being made, before it gets 503.", _SECONDS)
    question_seconds: float = _setting(10.0, "How long a question may run before it is stopped.", _SECONDS)
    answer_seconds: float = _setting(300.0, "How long a client may take to read an answer that is no stream, before it is cut.", _SECONDS)
    head_seconds: float = _setting(
        20.0, "How long a client may take to send the head of a request, and then a JSON body, before it is cut.", _SECONDS
    )
    upload_pause_seconds: float = _setting(60.0, "How long a client may pause within an upload, before it is cut.", _SECONDS)
    stream_seconds: float = _setting(3600.0, "How long a client may take to read a whole answer, before it is cut.", _SECONDS)
    checkpoint_seconds: float = _setting(1.0, "How often `serve` signs the logs that have grown.", _SECONDS)
    checkpoint_copy: str = _setting(
        "", "Where each log's newest checkpoint is kept outside the home: a file's absolute path, or a URL that takes GET and PUT.", _PLACE
    )
    checkpoint_copy_token: Secret | None = _secret("The token that is sent to the URL of checkpoint_copy.")  # noqa: RUF009 -- a field
    objects: str = _setting("", "Where the objects of versions are: `s3://bucket/prefix`, or empty for the home's own folder.", _BUCKET)
    objects_endpoint: str = _setting("", "The URL of the store that `objects` is in, where it is not Amazon's.", _URL)
    side_record_days: int = _setting(0, "How long side records are kept, in days; 0 keeps them until someone erases them.", _DAYS)
    rejects_days: int = _setting(7, "How long the rejects of a refused upload are kept, in days; 0 keeps none.", _DAYS)
    build_memory: str = _setting("1GB", "The memory that a publication or the making of an extract may use.", _MEMORY)
    publish_seconds: float = _setting(1800.0, "How long the reading of one uploaded file may take, before it is ended.", _SECONDS)
    publish_bytes: str = _setting("20GB", "The largest file that may be uploaded, also when it is unpacked.", _MEMORY)
    engine_memory: str = _setting("512MB", "The memory that the questions on one extract may use together.", _MEMORY)
    extract_budget: str = _setting("20GB", "The disk that extracts may take; beyond it the least recently read are removed.", _MEMORY)
    worker: bool = _setting(
        default=True, doc="Whether `serve` runs jobs too: garbage, purges, extracts ahead of readers, agreements' ends."
    )
    job_lease_seconds: float = _setting(60.0, "How long a job is its worker's without a sign of life, before another takes it.", _LEASE)
    wrapping_key: Secret | None = _secret("The key over the keys of pseudonyms, in base64 of 32 bytes; unset, it is the one in the home.")  # noqa: RUF009 -- a field


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting's value and where it came from: flag, environment, file or default."""

    name: str
    value: object
    origin: str
    doc: str


def bytes_of(size: str) -> int:
    """The bytes of a setting such as 512MB or 1 GiB."""
    number, unit = size.rstrip("KMGTiB "), size.lstrip("0123456789 ")
    thousand = 1024 if "i" in unit else 1000
    return int(number) * math.prod([thousand] * ("KMGT".index(unit[0]) + 1))


def load_settings(home: Home, *, flags: Mapping[str, object], environment: Mapping[str, str]) -> tuple[Settings, tuple[Setting, ...]]:
    """Give the settings of a home, and where each came from. Raise Invalid (`settings_invalid`) for an unknown or unreadable one."""
    known = {each.name: each for each in fields(Settings)}
    chosen: dict[str, tuple[object, str]] = {name: (each.default, "default") for name, each in known.items()}
    for name, value in _read_file(home).items():
        _require_known(name, known, "baybridge.toml")
        _require_no_secret(known[name])
        chosen[name] = (value, "baybridge.toml")
    for variable, text in environment.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in _OWN_VARIABLES:
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            secret = name.removesuffix(_FILE)
            if name != secret and secret in known and _is_secret(known[secret]):
                if ENVIRONMENT_PREFIX + secret.upper() in environment:
                    raise _invalid(secret, "one of the two, not both", f"{variable} and the variable without _FILE")
                chosen[secret] = (_read_secret(secret, text, variable), variable)
            else:
                _require_known(name, known, f"the environment variable {variable}")
                chosen[name] = (text, variable)
    for name, value in flags.items():
        if value is not None:
            chosen[name] = (value, "flag")
    values = {name: _parse(known[name], value, origin) for name, (value, origin) in chosen.items()}
    require_origin(values["origin"])
    require_no_password(values["catalog"])
    _require_outside(values["checkpoint_copy"], home)
    listed = tuple(Setting(name, _shown(known[name], values[name]), chosen[name][1], known[name].metadata["doc"]) for name in known)
    return Settings(**values), listed


def require_no_password(catalog: str) -> None:
    """Raise Invalid for a catalog's URL with a password in it: files, lists of processes and shells keep it where others read it."""
    if ":" in urlsplit(catalog).netloc.rpartition("@")[0] or "password=" in catalog:
        raise Invalid(
            "settings_invalid",
            "The setting catalog holds a password.",
            advice=Advice(
                rule="A secret comes from the environment, or from a file that the environment names.",
                who_can_change="the operator",
                next_step="Leave it out there, and set BAYBRIDGE_CATALOG_PASSWORD or BAYBRIDGE_CATALOG_PASSWORD_FILE.",
            ),
            places=(Place("catalog", "with a password"),),
        )


def _require_outside(place: str, home: Home) -> None:
    if place.startswith("/") and Path(place).resolve().is_relative_to(home.root.resolve()):
        raise Invalid(
            "settings_invalid",
            "The setting checkpoint_copy names a place inside the home.",
            advice=Advice(
                rule="What shows that a home was set back is kept outside it.",
                who_can_change="the operator",
                next_step="Name a place where whoever keeps the home cannot set it back too.",
            ),
            places=(Place("checkpoint_copy", "inside the home"),),
        )


def _read_file(home: Home) -> dict[str, object]:
    if not home.settings.exists():  # a home that is being made
        return {}
    try:
        return msgspec.toml.decode(home.settings.read_bytes(), type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(
            "settings_invalid", "baybridge.toml does not parse as TOML.", places=(Place("baybridge.toml", str(wrong)),)
        ) from wrong


def _require_known(name: str, known: Mapping[str, object], where: str) -> None:
    if name not in known:
        raise Invalid(
            "settings_invalid",
            f"There is no setting {name}, which {where} sets.",
            advice=Advice(rule="An unknown setting stops the start.", who_can_change="the operator", next_step=f"Remove it from {where}."),
            places=(Place(name, "no such setting", hint=nearest(name, known)),),
        )


def _is_secret(setting: Field[Any]) -> bool:
    return bool(setting.metadata.get("secret"))


def _shown(setting: Field[Any], value: object) -> object:
    """A secret is shown as set or unset, and as nothing else."""
    if _is_secret(setting):
        return "unset" if value is None else str(value)
    return value


def _require_no_secret(setting: Field[Any]) -> None:
    if _is_secret(setting):
        variable = ENVIRONMENT_PREFIX + setting.name.upper()
        raise Invalid(
            "settings_invalid",
            f"The setting {setting.name} is a secret, and does not belong into baybridge.toml.",
            advice=Advice(
                rule="A secret comes from the environment, or from a file that the environment names.",
                who_can_change="the operator",
                next_step=f"Remove it there, and set {variable} or {variable}_FILE.",
            ),
            places=(Place(setting.name, "a secret"),),
        )


def _read_secret(name: str, path: str, variable: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as wrong:
        raise _invalid(name, "in a file that can be read as text", variable) from wrong


def _parse_secret(name: str, value: object, origin: str) -> Secret | None:
    if value is None:
        return None
    if name in _TEXTS:
        if not _TEXTS[name].fullmatch(str(value)):
            raise _invalid(name, _RULES[name], origin)
        return Secret(str(value).encode())
    try:
        key = base64.b64decode(str(value), validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise _invalid(name, _RULES[name], origin)
    return Secret(key)


def _invalid(name: str, rule: str, origin: str) -> Invalid:
    return Invalid(
        "settings_invalid",
        f"The setting {name} from {origin} is not {rule}.",
        advice=Advice(
            rule="A setting that does not parse stops the start.", who_can_change="the operator", next_step=f"Correct it in {origin}."
        ),
        places=(Place(name, rule),),
    )


def _parse(setting: Field[Any], value: object, origin: str) -> Any:
    if _is_secret(setting):
        return _parse_secret(setting.name, value, origin)
    wanted = type(setting.default)
    exact = origin == "baybridge.toml" and wanted is not float
    try:
        return msgspec.convert(value, Annotated[wanted, setting.metadata["within"]], strict=exact)
    except msgspec.ValidationError as wrong:
        rule = _RULES[setting.name] if setting.name in _RULES else _RULES[wanted.__name__]
        raise _invalid(setting.name, rule, origin) from wrong


_MEMORY_RULE: Final = "a whole number with a unit, as 512MB, 2GB or 1GiB"
_RULES: Final = {
    "int": "a whole number",
    "float": "a number of seconds above 0",
    "str": "a text",
    "bool": "true or false",
    "checkpoint_copy": "a file's absolute path outside the home, an http or https URL, or empty",
    "objects": "s3:// with a bucket's name and perhaps a prefix, or empty",
    "objects_endpoint": "an http or https URL, or empty",
    "side_record_days": "a whole number of days from 0 to 36500",
    "rejects_days": "a whole number of days from 0 to 36500",
    "job_lease_seconds": "a number of seconds above 0, at most 600",
    "port": "a whole number from 0 to 65535",
    "build_memory": _MEMORY_RULE,
    "publish_bytes": _MEMORY_RULE,
    "wrapping_key": "base64 of 32 bytes",
    "catalog": "postgresql://USER@HOST:PORT/NAME, or empty",
    "catalog_password": "a text of 1 to 1000 characters on one line",
    "catalog_connections": "a whole number from 4 to 1000",
    "checkpoint_copy_token": "a token",
    "engine_memory": _MEMORY_RULE,
    "extract_budget": _MEMORY_RULE,
}
