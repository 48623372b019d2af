"""The scale of a learned metric beside that of its real machine."""

from __future__ import annotations

import pytest
from ratesight.optimizer.search.scale import deciding_gap


@pytest.mark.parametrize(
    ("gap", "real_gap", "decides"), [(-0.1, 0.0, 0.0), (0.0, -0.1, -0.1), (-0.1, None, -0.1)]
)
def test_the_real_machine_decides_where_it_knows_what_to_expect(
    gap: float, real_gap: float | None, decides: float
) -> None:
    assert deciding_gap(gap, real_gap) == decides
