"""What a report is made of: all that a run found, as the store keeps it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from .compare import Compared
from .errors import StoreError
from .events import ClipLoaded, PointMeasured, SearchFinished, TrialFinished
from .moment import CloseLook
from .recommendation import Recommendation
from .store import Json, Store

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


# A new kind: a dataclass here, a row in ``report_files`` and a template.
Record = TuneRecord | CompareRecord


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Annotated[Record, Field(discriminator="kind")])


def record_json(record: Record) -> dict[str, Json]:
    """Returns a record as strict JSON: what is no number is null."""
    fields: dict[str, Json] = json.loads(_adapter().dump_json(record))
    return fields


def record_schema() -> dict[str, Any]:
    """Returns the JSON Schema of all records."""
    return _adapter().json_schema(mode="serialization")


def without_pictures(record: Record) -> Record:
    """Returns a record without the bytes of its pictures, which are files of their own."""
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
    """Keeps a record in the store, in place of an older one of the same request.

    Args:
        request: Whose ``repr`` says what was asked for.

    Raises:
        StoreError: The store cannot be written.
    """
    key: Json = {"kind": "report", "version": VERSION, "of": record.kind, "request": repr(request)}
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
            records.append(_adapter().validate_python(value))
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
