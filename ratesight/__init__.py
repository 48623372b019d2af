"""ratesight tunes x264, x265 and SVT-AV1 for what a machine must still see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codecs.clip import Clip, probe
    from .optimizer.api import recommend, tune
    from .optimizer.clip_score import Score
    from .optimizer.recommendation import Recommendation
    from .optimizer.score import score
    from .optimizer.titles.ladder import PerTitle

__version__ = "0.1.0"

# In a checkout the parts lie beside this folder, and Python finds this folder first.
_FOLDER = Path(__file__).parent
if not (_FOLDER / "codecs").is_dir():
    __path__.append(str(_FOLDER.parent))

__all__ = [
    "Clip", "PerTitle", "Recommendation", "Score", "__version__", "probe", "recommend", "score",
    "tune",
]  # fmt: skip

# Looked up at first use: importing PyAV, torch and Optuna takes seconds.
_HOMES = {
    "Clip": "codecs.clip",
    "probe": "codecs.clip",
    "PerTitle": "optimizer.titles.ladder",
    "Recommendation": "optimizer.recommendation",
    "recommend": "optimizer.api",
    "Score": "optimizer.clip_score",
    "score": "optimizer.score",
    "tune": "optimizer.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ratesight' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
