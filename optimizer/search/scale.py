"""The scale of a learned metric beside that of the machine it predicts, on one clip."""

from __future__ import annotations

from dataclasses import dataclass

from ..curves.curve import RdCurve
from ..measuring.bench import Benches
from ..measuring.measure import Measurer
from .candidate import Candidate, next_crfs


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Some encodes as both machines see them; from one end to the other qualities are read across.

    Attributes:
        own: Of the machine of the choice.
        real: Of the one that it predicts.
    """

    own: RdCurve
    real: RdCurve

    def own_quality(self, quality: float) -> float:
        """Returns what the machine of the choice says where the real one keeps a quality."""
        return _read_across(self.real, self.own, quality)

    def real_quality(self, quality: float) -> float:
        """Returns what the real machine keeps where that of the choice says a quality."""
        return _read_across(self.own, self.real, quality)

    def own_range(self, ends: tuple[float, float]) -> tuple[float, float]:
        """Returns both ends of a range as the machine of the choice says them."""
        low, high = ends
        return self.own_quality(low), self.own_quality(high)

    @property
    def most(self) -> float:
        """The best quality that the real machine keeps."""
        return float(self.real.qualities[-1])


def measure_scale(
    candidate: Candidate,
    quality_range: tuple[float, float],
    benches: Benches,
    measurer: Measurer,
) -> Scale | None:
    """Shows some encodes of one candidate to both machines, over a range of qualities.

    How strict a learned metric is against its machine differs from clip to clip. What it sees
    stays with the candidate.

    Args:
        quality_range: Of the real machine.
        benches: Of the frames of the choice.

    Returns:
        None where there is no real machine beside the one of the choice.
    """
    if benches.real is None:
        return None
    looking = [benches.own, benches.real]
    real = Candidate(settings=candidate.settings)

    def measure(crf: float) -> None:
        seen, _ = measurer.measure_all(looking, candidate.at(crf))
        candidate.measurements[crf], real.measurements[crf] = seen

    while crfs := next_crfs(real, *quality_range):
        list(measurer.pool.map(measure, crfs))
    return Scale(own=candidate.curve, real=real.curve)


def deciding_gap(gap: float, real_gap: float | None) -> float:
    """Returns the gap of verified to expected quality by which a choice is verified or not.

    Args:
        gap: By the machine of the choice.
        real_gap: By the real one, which decides: a learned metric errs. None where there is none,
            or where it is not known what to expect of it.
    """
    return gap if real_gap is None else real_gap


def _read_across(one: RdCurve, other: RdCurve, quality: float) -> float:
    """Returns what another machine says at the rate where one says a quality."""
    return other.quality_at(one.rate_at(quality).value).value
