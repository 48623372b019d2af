"""What a report is made of: all that a run found, as the store keeps it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ...codecs.address import without_password
from ..compare import Compared
from ..errors import StoreError
from ..events import ClipLoaded, PointMeasured, SearchFinished, TrialFinished
from ..measuring.store import Json, Store
from ..recommendation import Recommendation
from .close_look import CloseLook
from .plain_text import printable

# Of the rows in the store. Another number where older rows cannot be read any more.
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRecord:
    """A run of ``ratesight tune``.

    Attributes:
        name: Of its folder of results.
        encode_command: Ours, that makes the same encode of a whole file.
        points: Every encode, of the search and of the verification, in the order they came.
        searches: One for options, one for regions if they were searched.
    """

    kind: Literal["tune"] = "tune"
    name: str
    encode_command: str
    clip: ClipLoaded
    recommendation: Recommendation
    trials: tuple[TrialFinished, ...]
    points: tuple[PointMeasured, ...]
    searches: tuple[SearchFinished, ...]
    look: CloseLook


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRecord:
    """A run of ``ratesight compare``.

    Attributes:
        name: Of its folder of results.
        contestants: In the order of the tables; the first is the anchor.
        settings: Of each contestant, as in EncodeSettings, at any CRF.
        quality_range: That the curves had to cover.
        provenance: What the result depended on.
    """

    kind: Literal["compare"] = "compare"
    name: str
    contestants: tuple[str, ...]
    settings: tuple[dict[str, Json], ...]
    quality_range: tuple[float, float]
    compared: Compared
    provenance: dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts.

    Attributes:
        read: How to read it, in a sentence.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    read: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that a command has written as PNG.

    Attributes:
        name: Of its file.
        read: How to read it, in a sentence.
        png_base64: Empty where only the words are told.
    """

    name: str
    title: str
    read: str
    png_base64: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRecord:
    """A run that is told in tables and pictures: of many clips, or of a front.

    Attributes:
        command: Of ours, such as ``tune``.
        name: Of its folder of results.
        title: What was looked at.
        headline: What to use, and what it saves.
        number: The saving in large letters; empty where there is none.
        is_sure: The whole interval of that saving is below 0; older records do not say.
        commands: What is done and the command that does it.
        provenance: What the result depended on.
    """

    kind: Literal["summary"] = "summary"
    command: str
    name: str
    title: str
    headline: str
    number: str
    commands: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]
    provenance: dict[str, Json]
    is_sure: bool = False


# A new kind: a dataclass here, a case in ``files`` and a template.
Record = TuneRecord | CompareRecord | SummaryRecord


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Annotated[Record, Field(discriminator="kind")])


def record_json(record: Record) -> dict[str, Json]:
    """Returns a record as strict JSON: what is no number is null, texts are printable."""
    fields = _plain(dataclasses.asdict(record))
    assert isinstance(fields, dict)
    return fields


def read_record(fields: dict[str, Json]) -> Record:
    """Returns the record of its JSON.

    Raises:
        ValidationError: It is of another version.
    """
    return _adapter().validate_python(fields)


def _plain(value: Any) -> Json:
    match value:
        case dict():
            # In the order that the store keeps, so that a report is the same from there.
            return {printable(str(name)): _plain(one) for name, one in sorted(value.items())}
        case list() | tuple():
            return [_plain(one) for one in value]
        case str():
            return printable(value)
        case float():
            return value if math.isfinite(value) else None
    assert value is None or isinstance(value, (bool, int))
    return value


def record_schema() -> dict[str, Any]:
    """Returns the JSON Schema of all records."""
    return _adapter().json_schema(mode="serialization")


def without_pictures(record: Record) -> Record:
    """Returns a record without the bytes of its pictures, which are files of their own."""
    if isinstance(record, SummaryRecord):
        bare = tuple(replace(one, png_base64="") for one in record.pictures)
        return replace(record, pictures=bare)
    if not isinstance(record, TuneRecord):
        return record
    look = record.look
    moments = tuple(
        replace(one, views=tuple(replace(view, jpeg_base64="") for view in one.views))
        for one in look.moments
    )
    maps = look.loss_maps
    if maps is not None:
        maps = replace(maps, maps=tuple(replace(one, jpeg_base64="") for one in maps.maps))
    return replace(record, look=replace(look, moments=moments, loss_maps=maps))


def keep(record: Record, request: object, store: Store) -> None:
    """Keeps a record in the store, in place of an older one of the same request and frames.

    Args:
        request: Whose ``repr`` says what was asked for.

    Raises:
        StoreError: The store cannot be written.
    """
    told = record.recommendation if isinstance(record, TuneRecord) else record
    contents = ("clip_content_sha256", "clips_content_sha256")
    key: Json = {
        "kind": "report",
        "version": VERSION,
        "of": record.kind,
        "request": without_password(repr(request)),
        "contents": [told.provenance[name] for name in contents if name in told.provenance],
    }
    store.replace(key, record_json(record))


def kept_records(store: Store) -> tuple[list[Record], int]:
    """Returns the records of a store, the oldest first, and how many it has that cannot be read.

    Raises:
        StoreError: The store cannot be read.
    """
    records: list[Record] = []
    kept = store.of_kind("report")
    for _, value in kept:
        try:
            assert isinstance(value, dict)
            records.append(read_record(value))
        except ValidationError:
            continue  # of another version of ratesight
    return records, len(kept) - len(records)


def require_records(store: Store) -> Sequence[Record]:
    """Returns the records of a store.

    Raises:
        StoreError: It has none that this version can read.
    """
    records, num_unread = kept_records(store)
    if not records:
        why = f"{num_unread} are of another version" if num_unread else "it has none"
        raise StoreError(
            f"a report is made of what a finished run left in its store, {store.path}: {why}; run "
            f"'ratesight tune' or 'ratesight compare' again, what is measured is not measured twice"
        )
    return records
