"""What parameters are worth, on costs that one of them makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ratesight.codecs.table import ENCODERS
from ratesight.optimizer.request import Sampler
from ratesight.optimizer.search.importance import importances
from ratesight.optimizer.search.study import Study, open_study
from ratesight.optimizer.search.study_storage import open_storage


def study(folder: Path, sampler: Sampler = "tpe", name: str = "a search") -> Study:
    encoder = ENCODERS["x264"]
    return open_study(
        encoder,
        preset=encoder.default_preset,
        part="encoder",
        fixed={},
        sampler=sampler,
        seed=0,
        storage=open_storage(folder / "study.journal"),
        name=name,
    )


def test_what_matters_is_told_from_what_does_not(tmp_path: Path) -> None:
    one = study(tmp_path, sampler="random")
    for _ in range(24):
        proposal = one.ask()
        assert set(proposal.options) <= set(proposal.parameters)
        one.tell(proposal, 0.1 * int(proposal.parameters["bframes"]), {})

    found = importances(one.live)

    assert set(found) == {"fANOVA", "PED-ANOVA"}
    for shares in found.values():
        assert max(shares, key=lambda name: shares[name]) == "bframes"
        assert all(0 <= share <= 1 for share in shares.values())
        assert sum(shares.values()) == pytest.approx(1)


def test_of_a_few_trials_nothing_is_told(tmp_path: Path) -> None:
    few, same = study(tmp_path, name="few"), study(tmp_path, name="same")
    for number in range(12):
        same.tell(same.ask(), 0.5, {})
        if number < 4:
            few.tell(few.ask(), float(number), {})

    assert importances(few.live) == {}
    assert importances(same.live) == {}
