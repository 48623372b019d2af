"""All (region, version) pairs of one task as columns, and their frames and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .distortions import Version
from .labelled_groups import Bools, Floats, Group, Ints
from .predictors import Values

Strings = npt.NDArray[np.str_]

_PHOTOS_PER_SETTING = 25
# Bits per pixel that differ by less count as equal, and CRFs that differ by at most so much.
_NEAR_RATE, _NEAR_CRF = 1.15, 1.0
# Of the draw of photos into batches.
_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Row:
    """A row of the tables.

    Attributes:
        of: ``region`` for values of regions, ``frame`` for values of whole frames, ``machine`` for
            what another machine keeps.
    """

    predictor: str
    of: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """What pairs are pooled into: nothing, their frame, or their setting.

    Attributes:
        of_pair: The unit of each pair.
        clusters: What is resampled, of each pair.
        strata: Of each cluster.
    """

    of_pair: Ints
    clusters: Ints
    strata: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairTable:
    """Columns with one entry for each (region, version).

    Attributes:
        regions: An index of the region.
        weights: Mean score on the original.
        kept: Of each machine, 0 where it saw nothing on the original.
        values: Of each predictor, higher is better; those of frames stand at each region.
        units: ``object``, ``frame`` and ``setting``.
        pairs_at_equal: ``rate`` and ``crf``: (n, 2), versions of one region.
    """

    regions: Ints
    weights: Floats
    codecs: Strings
    kinds: Strings
    kept: Mapping[str, Floats]
    seen: Mapping[str, Bools]
    values: Mapping[Row, Floats]
    units: Mapping[str, Unit]
    pairs_at_equal: Mapping[str, Ints]


def pool(values: Floats, weights: Floats, units: Ints) -> Floats:
    """Returns the weighted mean of each unit that occurs, in the order of units."""
    _, index = np.unique(units, return_inverse=True)
    return np.bincount(index, values * weights) / np.bincount(index, weights)


def pair_table(groups: Sequence[Group], predicted: Sequence[Mapping[str, Values]]) -> PairTable:
    """Returns the pairs of groups of one task; versions vary slowest within a group.

    Args:
        predicted: Each group's rows; a row that some groups lack is left out.
    """
    machines = sorted({name for group in groups for name in group.seen})
    sizes = [(len(group.versions), len(group.regions)) for group in groups]
    first_region = np.cumsum([0, *(regions for _, regions in sizes)])
    first_version = np.cumsum([0, *(versions for versions, _ in sizes)])
    regions, versions, frames = [], [], []
    for index, (group, (num_versions, num_regions)) in enumerate(zip(groups, sizes, strict=True)):
        regions.append(np.tile(first_region[index] + np.arange(num_regions), num_versions))
        version = np.repeat(first_version[index] + np.arange(num_versions), num_regions)
        versions.append(version)
        # No group has as many frames as that.
        frames.append(version * 1000 + np.tile(group.frame_of_region, num_versions))
    num_pairs = [len(one) for one in regions]
    origins = list(dict.fromkeys(group.origin for group in groups))
    origin_kinds = {group.origin: group.kind for group in groups}
    strata = tuple(origin_kinds[origin] for origin in origins)
    of_origin = np.repeat([origins.index(group.origin) for group in groups], num_pairs)
    return PairTable(
        regions=np.concatenate(regions),
        weights=_spread([group.weights for group in groups], sizes),
        codecs=np.concatenate(
            [np.repeat([v.codec for v in g.versions], len(g.regions)) for g in groups]
        ),
        kinds=np.repeat([group.kind for group in groups], num_pairs),
        kept={
            name: np.concatenate(
                [
                    g.kept[name].ravel() if name in g.kept else np.zeros(n)
                    for g, n in zip(groups, num_pairs, strict=True)
                ]
            )
            for name in machines
        },
        seen={
            name: _spread(
                [g.seen.get(name, np.zeros(len(g.regions), np.bool_)) for g in groups], sizes
            ).astype(bool)
            for name in machines
        },
        values=_values(groups, predicted),
        units={
            "object": Unit(of_pair=np.arange(sum(num_pairs)), clusters=of_origin, strata=strata),
            "frame": Unit(of_pair=np.concatenate(frames), clusters=of_origin, strata=strata),
            "setting": _settings(groups, np.concatenate(versions), np.array(num_pairs), origins),
        },
        pairs_at_equal=_pairs_at_equal(groups, num_pairs),
    )


def _spread(
    of_regions: Sequence[npt.NDArray[np.generic]], sizes: Sequence[tuple[int, int]]
) -> Floats:
    """Returns values of regions, repeated for each version."""
    return np.concatenate(
        [np.tile(values, versions) for values, (versions, _) in zip(of_regions, sizes, strict=True)]
    ).astype(np.float64)


def _values(
    groups: Sequence[Group], predicted: Sequence[Mapping[str, Values]]
) -> dict[Row, Floats]:
    columns: dict[Row, list[Floats]] = {}
    for group, rows in zip(groups, predicted, strict=True):
        for name, values in rows.items():
            if values.regions is not None:
                columns.setdefault(Row(predictor=name, of="region"), []).append(
                    values.regions.ravel()
                )
            if values.frames is not None:
                columns.setdefault(Row(predictor=name, of="frame"), []).append(
                    values.frames[:, group.frame_of_region].ravel()
                )
    return {
        row: np.concatenate(parts)
        for row, parts in sorted(columns.items())
        if len(parts) == len(groups)
    }


def _settings(
    groups: Sequence[Group], versions: Ints, num_pairs: Ints, origins: Sequence[str]
) -> Unit:
    """Returns the units (clip, version), and 25 photos x codec x CRF band."""
    photos = [
        origin
        for origin in origins
        if any(group.origin == origin and group.kind == "photo" for group in groups)
    ]
    shuffled = np.random.default_rng(_SEED).permutation(photos)
    num_batches = max(1, round(len(photos) / _PHOTOS_PER_SETTING))
    batch_of = {
        str(photo): f"photos {number}"
        for number, batch in enumerate(np.array_split(shuffled, num_batches))
        for photo in batch
    }
    bands = _bands([group for group in groups if group.kind == "photo"])
    names = []
    for index, group in enumerate(groups):
        for number, version in enumerate(group.versions):
            if group.kind == "photo":
                batch = batch_of[group.origin]
                band = np.searchsorted(bands[version.codec], version.crf, side="right")
                names.append((batch, f"{version.codec} {band}"))
            else:
                names.append((group.origin, f"{index} {number}"))
    units = {name: index for index, name in enumerate(dict.fromkeys(names))}
    of_version = np.array([units[name] for name in names])
    clusters = {name: index for index, name in enumerate(dict.fromkeys(name for name, _ in names))}
    cluster_of_version = np.array([clusters[name] for name, _ in names])
    assert num_pairs.sum() == len(versions)
    return Unit(
        of_pair=of_version[versions],
        clusters=cluster_of_version[versions],
        strata=tuple("photo" if name.startswith("photos ") else "clip" for name in clusters),
    )


def _bands(photos: Sequence[Group]) -> dict[str, Floats]:
    """Returns the inner edges of each codec's CRF bands, as many bands as a photo has versions."""
    found: dict[str, Floats] = {}
    for codec in sorted({version.codec for photo in photos for version in photo.versions}):
        crfs = [v.crf for photo in photos for v in photo.versions if v.codec == codec]
        num_with = sum(any(v.codec == codec for v in photo.versions) for photo in photos)
        num_bands = max(1, round(len(crfs) / num_with))
        found[codec] = np.quantile(crfs, np.arange(1, num_bands) / num_bands)
    return found


def _pairs_at_equal(groups: Sequence[Group], num_pairs: Sequence[int]) -> dict[str, Ints]:
    found: dict[str, list[Ints]] = {"rate": [], "crf": []}
    for group, start in zip(groups, np.cumsum([0, *num_pairs])[:-1], strict=True):
        num_regions = len(group.regions)
        offsets = start + np.arange(num_regions)[:, None]
        for kind, near in (("rate", _is_near_rate), ("crf", _is_near_crf)):
            couples = [
                (first, second)
                for second in range(len(group.versions))
                for first in range(second)
                if near(group.versions[first], group.versions[second])
            ]
            for couple in couples:
                found[kind].append(offsets + np.array([couple]) * num_regions)
    return {
        kind: np.concatenate([np.empty((0, 2), np.int64), *parts]) for kind, parts in found.items()
    }


def _is_near_rate(first: Version, second: Version) -> bool:
    rates = sorted((first.bits_per_pixel, second.bits_per_pixel))
    return rates[1] <= _NEAR_RATE * rates[0]


def _is_near_crf(first: Version, second: Version) -> bool:
    return first.codec == second.codec and abs(first.crf - second.crf) <= _NEAR_CRF
