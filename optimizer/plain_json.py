"""Results as plain JSON values."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from .measuring.store import Json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def plain_json(result: DataclassInstance) -> dict[str, Json]:
    """Returns the fields of a result, strict: tuples are lists, no number is NaN or infinite.

    Raises:
        ValueError: A number is not finite.
    """
    fields: dict[str, Json] = json.loads(json.dumps(dataclasses.asdict(result), allow_nan=False))
    return fields
