"""ratesight tunes x264, x265 and SVT-AV1 for what a machine must still see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codecs.clip import Clip, probe
    from .codecs.limits import ClipLimits
    from .errors import RatesightError
    from .optimizer.api import bd_rate, compare, recommend, tune
    from .optimizer.clip_score import Score
    from .optimizer.compare import Compared, CompareRequest, compare_events
    from .optimizer.curves.bd_comparison import Comparison
    from .optimizer.fleet import Fleet, fleet
    from .optimizer.recommendation import Recommendation
    from .optimizer.request import TuneRequest
    from .optimizer.score import score
    from .optimizer.titles.ladder import PerTitle
    from .optimizer.titles.per_title import recommend_events
    from .optimizer.titles.request import PerTitleRequest
    from .optimizer.tune import tune_events

__version__ = "0.1.0"

# In a checkout the parts lie beside this folder, and Python finds this folder first.
_FOLDER = Path(__file__).parent
if not (_FOLDER / "codecs").is_dir():
    __path__.append(str(_FOLDER.parent))

__all__ = [
    "Clip", "ClipLimits", "CompareRequest", "Compared", "Comparison", "Fleet", "PerTitle",
    "PerTitleRequest", "RatesightError", "Recommendation", "Score", "TuneRequest", "__version__",
    "bd_rate", "compare", "compare_events", "fleet", "probe", "recommend", "recommend_events",
    "score", "tune", "tune_events",
]  # fmt: skip

# Looked up at first use: importing PyAV, torch and Optuna takes seconds.
_HOMES = {
    "Clip": "codecs.clip",
    "probe": "codecs.clip",
    "ClipLimits": "codecs.limits",
    "RatesightError": "errors",
    "bd_rate": "optimizer.api",
    "compare": "optimizer.api",
    "compare_events": "optimizer.compare",
    "Compared": "optimizer.compare",
    "CompareRequest": "optimizer.compare",
    "Comparison": "optimizer.curves.bd_comparison",
    "Fleet": "optimizer.fleet",
    "fleet": "optimizer.fleet",
    "PerTitle": "optimizer.titles.ladder",
    "PerTitleRequest": "optimizer.titles.request",
    "recommend_events": "optimizer.titles.per_title",
    "Recommendation": "optimizer.recommendation",
    "recommend": "optimizer.api",
    "Score": "optimizer.clip_score",
    "score": "optimizer.score",
    "tune": "optimizer.api",
    "TuneRequest": "optimizer.request",
    "tune_events": "optimizer.tune",
}


if not TYPE_CHECKING:  # Or type checkers would take any name for one of ours.

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'ratesight' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
