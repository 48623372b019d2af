"""Makes the screenshot of a report in the README, from a small real run, in the installed Chromium.

``python -m benchmarks.report_picture --data ../shared/data`` tunes 2 s of a street; ``--report
FILE`` takes a report that is there already.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from ratesight.optimizer.commands.app import app

PICTURE = Path(__file__).parent / "results" / "report.png"
_CLIP, _WEIGHTS = Path("clips/bikes_street_272p.mp4"), Path("weights/yolov8n.pt")
# Two screens side by side: a desk with a light page, a phone with a dark one.
_DESK, _PHONE, _HEIGHT = 1120, 390, 1290


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with clips/ and weights/")
    parser.add_argument("--report", type=Path, help="report.html to show instead of a new run's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = arguments.report
        if report is None:
            if arguments.data is None:
                parser.error("one of --data and --report is needed")
            report = _tuned(arguments.data, Path(folder))
        _show(report, Path(folder))


def _tuned(data: Path, folder: Path) -> Path:
    """Runs a small search and returns its report."""
    app(
        [
            "tune", str(data / _CLIP), "--detector", str(data / _WEIGHTS), "--max-seconds", "2",
            "--preset", "veryfast", "--trials", "12", "--target-quality", "0.9",
            "--frames-per-second", "10",
            "--store", str(folder / "store.sqlite"), "--out", str(folder / "out"),
        ],
        standalone_mode=False,
    )  # fmt: skip
    return folder / "out" / "report.html"


def _show(report: Path, folder: Path) -> None:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        raise SystemExit("the screenshot is made in Debian's Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        shots = []
        for width, scheme in ((_DESK, "light"), (_PHONE, "dark")):
            page = browser.new_page(
                viewport={"width": width, "height": _HEIGHT},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto(report.resolve().as_uri())
            shots.append(folder / f"{scheme}.png")
            page.screenshot(path=shots[-1])
        # Side by side, by the browser itself.
        page = browser.new_page(viewport={"width": _DESK + _PHONE + 60, "height": _HEIGHT + 40})
        pictures = "".join(
            f'<img src="{shot.as_uri()}" style="margin-right:20px;border:1px solid #bbb">'
            for shot in shots
        )
        (folder / "both.html").write_text(
            f'<body style="margin:20px;display:flex;align-items:flex-start">{pictures}'
        )
        page.goto((folder / "both.html").as_uri())
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
