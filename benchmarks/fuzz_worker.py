"""Opens the clips it is told of on stdin, one path a line; answers with a JSON object a line.

A process of its own: what crashes in here is seen from outside. Started by ``fuzz_clips``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

from ratesight.codecs.clip import probe
from ratesight.codecs.errors import CodecError
from ratesight.codecs.limits import ClipLimits
from ratesight.codecs.source import load_source

_ADDRESS_SPACE_BYTES = 6 * 2**30
# A file of eight small frames that says it has more or larger ones is lying.
_LIMITS = ClipLimits(decode_seconds=5, scratch_gb=2)


def main() -> None:
    """Works until there are no more lines."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        started = time.monotonic()
        answer: dict[str, object] = {"probe": _probe(path), "load_source": _load_source(path)}
        answer |= {
            "seconds": round(time.monotonic() - started, 3),
            "resident_megabytes": _resident_bytes() / 1e6,
            "descriptors": len(os.listdir("/proc/self/fd")),
        }
        print(json.dumps(answer), flush=True)


def _probe(path: Path) -> str:
    try:
        return "damaged" if probe(path, limits=_LIMITS).decode_error else "read"
    except CodecError as error:
        return _refused(error)
    except Exception as error:  # what is looked for
        return f"unexpected {type(error).__name__}: {error}"


def _load_source(path: Path) -> str:
    try:
        with load_source(path, limits=_LIMITS) as source:
            source.bgr(source.num_frames - 1)
    except CodecError as error:
        return _refused(error)
    except Exception as error:  # what is looked for
        return f"unexpected {type(error).__name__}: {error}"
    return "read"


def _refused(error: CodecError) -> str:
    return "refused" if "\n" not in str(error) else f"unexpected lines: {error}"


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
