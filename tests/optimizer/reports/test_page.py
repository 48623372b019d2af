"""Reports of real runs, in a real browser; names and paths are hostile."""

from __future__ import annotations

import csv
import json
import math
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Browser, Page, sync_playwright
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.measuring.store import open_store
from ratesight.optimizer.reports.files import read_picture, write_report
from ratesight.optimizer.reports.page import tune_html
from ratesight.optimizer.reports.record import (
    Record,
    SummaryRecord,
    Table,
    TuneRecord,
    keep,
    kept_records,
    record_json,
    record_schema,
)
from typer.testing import CliRunner

PNG = b"\x89PNG\r\n\x1a\n"
NUM_TRIALS = 10
# As a path: a folder "<script>alert(1)<" and in it a file "script>.mp4".
HOSTILE = "<script>alert(1)</script>.mp4"
OTHER = '"><img src=x onerror=alert(2)>$\\frac$ {{7*7}} \U0001f697.mp4'
WIDTHS, SCHEMES = (360, 1280), ("light", "dark")


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code in (0, 3), result.output
    return result.stdout


@pytest.fixture(scope="module")
def folder(clips: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of tune and one of compare, and the store of both; the clips are gone."""
    folder = tmp_path_factory.mktemp("report")
    paths = [folder / HOSTILE, folder / OTHER]
    machine = ["--detector", weights, "--image-size", 128, "--frames-per-second", 10]
    common = [*machine, "--max-seconds", 0.5, "--store", folder / "runs.sqlite"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(clips / "carphone_qcif.mp4", path)
    run(
        "tune", paths[0], "--preset", "veryfast", "--trials", NUM_TRIALS, "--target-quality", 0.85,
        "--min-fps", 1, "--out", folder / "tune", *common,
    )  # fmt: skip
    settings = folder / "tune" / "recommendation.json"
    if not json.loads(settings.read_text())["settings"]["options"]:
        other = json.loads(settings.read_text())
        other["settings"]["options"] = {"bframes": 0}
        settings = folder / "other.json"
        settings.write_text(json.dumps(other))
    run(
        "compare", paths[1], "--codec", "x264", "--settings", settings, "--quality-range", 0.7, 0.9,
        "--match-score", 0.2, "--out", folder / "compare", *common,
    )  # fmt: skip
    for path in paths:
        path.unlink()
    return folder


@pytest.fixture(scope="module")
def records(folder: Path) -> list[Record]:
    with open_store(folder / "runs.sqlite") as store:
        records, num_unread = kept_records(store)
    assert num_unread == 0
    return records


@pytest.fixture(scope="module")
def tuned(records: list[Record]) -> TuneRecord:
    assert isinstance(records[0], TuneRecord)
    return records[0]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.fail(
            "reports are tested in Debian's Chromium, which is not installed: "
            "apt-get install -y chromium ('make test' does it where it may)"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


class Elements(HTMLParser):
    """Elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_store_keeps_a_record_of_each_run(records: list[Record], tuned: TuneRecord) -> None:
    assert [one.kind for one in records] == ["tune", "compare"]
    assert len(tuned.trials) == NUM_TRIALS
    assert len(tuned.look.tracks) == (1 if tuned.recommendation.keeps_defaults else 3)


@pytest.mark.parametrize(
    ("high", "bd_high", "said"),
    [(-1.0, -1.0, []), (0.0, -1.0, ["saving"]), (None, 2.0, ["saving", "BD-rate"])],
)
def test_a_saving_that_may_be_chance_is_said(
    tuned: TuneRecord, high: float | None, bd_high: float, said: list[str]
) -> None:
    found = replace(
        tuned.recommendation,
        winner_curve=tuned.recommendation.anchor_curve[1:],
        rate_change_percent=-7.0,
        rate_change_interval_percent=(-15.0, high),
        bd_rate_percent=-6.0,
        bd_rate_interval_percent=(-12.0, bd_high),
        bd_rate_qualities=(0.8, 0.95),
    )

    # Figures of the search take longest to draw, and say nothing of it.
    page = tune_html(replace(tuned, recommendation=found, searches=()), {})

    assert (", may be chance</small>" in page) == ("saving" in said)
    assert ('<div class="number good">' in page) == ("saving" not in said)
    for what in ("saving", "BD-rate"):
        line = f"the interval of the {what} does not end below 0: it may be chance"
        assert (line in page) == (what in said)


@pytest.mark.parametrize("command", ["tune", "compare"])
def test_the_json_is_strict_and_as_the_schema_says(folder: Path, command: str) -> None:
    text = (folder / command / "report.json").read_text()
    written = json.loads(text, parse_constant=pytest.fail)  # NaN and infinity are no JSON

    schema = record_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(written, schema, cls=jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "name": 7}, schema)


def test_what_is_no_number_is_null_and_texts_are_printable(tuned: TuneRecord) -> None:
    tracks = tuple(replace(one, rate_kbps=math.nan) for one in tuned.look.tracks)
    strange = replace(tuned, name="a\udcff\x1b\u202eb", look=replace(tuned.look, tracks=tracks))

    fields: Any = json.loads(json.dumps(record_json(strange), allow_nan=False))

    assert fields["name"] == r"a\udcff\x1b\u202eb"
    assert [one["rate_kbps"] for one in fields["look"]["tracks"]] == [None] * len(tracks)


def test_tables_have_what_the_report_shows(folder: Path, tuned: TuneRecord) -> None:
    trials = rows(folder / "tune" / "trials.csv")
    points = rows(folder / "tune" / "points.csv")
    frames = rows(folder / "tune" / "frames.csv")

    assert [int(row["trial"]) for row in trials] == list(range(NUM_TRIALS))
    assert float(trials[0]["cost_percent"]) == 0
    assert all(row["bframes"] for row in trials)
    assert len(points) == len(tuned.points)
    assert {row["role"] for row in points} >= {"search", "anchor"}
    assert [int(row["frame"]) for row in frames] == list(tuned.look.frames)
    for row, quality in zip(frames, tuned.look.tracks[0].qualities, strict=True):
        assert (float(row["defaults"]) if row["defaults"] else None) == quality
    curves = rows(folder / "compare" / "curves.csv")
    assert {row["clip"] for row in curves} == {Path(OTHER).stem}
    for row in curves:
        assert float(row["quality_low"]) <= float(row["quality"]) <= float(row["quality_high"])


def test_figures_are_there_as_png(folder: Path) -> None:
    names = {path.name for path in (folder / "tune").glob("*.png")}
    assert names >= {
        "curves.png", "frames.png", "pareto.png", "speed.png", "pictures.png", "lost_sight.png",
        "importance-encoder.png", "slices-encoder.png",
    }  # fmt: skip
    names = {path.name for path in (folder / "compare").glob("*.png")}
    assert names == {"curves.png", "curves-0.png"}
    for path in folder.glob("*/*.png"):
        assert path.read_bytes().startswith(PNG)


@pytest.mark.parametrize("command", ["tune", "compare"])
def test_nothing_unescaped_is_in_the_page(folder: Path, command: str) -> None:
    text = (folder / command / "report.html").read_text()

    elements = Elements(text).found
    assert sum(tag == "script" for tag, _ in elements) == 1
    assert "alert(1)" not in text.partition("<body>")[0].partition("<title>")[0]
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "{{7*7}}" in text or command == "tune"  # not a template's either
    for tag, attributes in elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            if (place := attributes.get(name)) is not None:
                assert place.startswith(("data:", "#")), (tag, place)
    (policy,) = (
        attributes["content"]
        for tag, attributes in elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert len(text) < 3_000_000


def test_a_report_is_made_again_from_the_store_alone(folder: Path, tmp_path: Path) -> None:
    with open_store(folder / "runs.sqlite") as store:
        before = store.connection.execute("SELECT count(*) FROM results").fetchone()

    printed = run("report", folder / "runs.sqlite", "--out", tmp_path, "--json").splitlines()

    # The clips are gone, and the pages are the same to the last byte.
    pages = [Path(json.loads(line)["page"]) for line in printed]
    assert [page.parent.name for page in pages] == ["tune", "compare"]
    for page in pages:
        first = folder / page.parent.name
        assert page.read_bytes() == (first / "report.html").read_bytes()
        names = {path.name for path in page.parent.iterdir()}
        assert {path.name for path in first.glob("*.png")} == {
            name for name in names if name.endswith(".png")
        }
        for made in page.parent.iterdir():
            assert (made.suffix == ".png") or made.read_bytes() == (first / made.name).read_bytes()
    with open_store(folder / "runs.sqlite") as store:
        assert store.connection.execute("SELECT count(*) FROM results").fetchone() == before


def test_what_is_kept_again_takes_the_place_of_the_first(
    records: list[Record], tuned: TuneRecord, tmp_path: Path
) -> None:
    with open_store(tmp_path / "other.sqlite") as store:
        for record in (*records, replace(records[0], name="again")):
            keep(record, record.kind, store)
        kept, _ = kept_records(store)
        # The same words may be about other clips, in another folder.
        provenance = {**records[1].provenance, "clips_content_sha256": {"clip": "0123"}}
        keep(replace(records[1], provenance=provenance), records[1].kind, store)
        found = replace(tuned.recommendation, provenance={"clip_content_sha256": "0123"})
        keep(replace(tuned, recommendation=found), records[0].kind, store)
        both, _ = kept_records(store)

    assert [one.name for one in kept] == [records[1].name, "again"]
    assert len(both) == 4


def test_a_report_says_what_it_depends_on(folder: Path, weights: Path) -> None:
    tuned, compared = (
        json.loads((folder / name / "report.json").read_text()) for name in ("tune", "compare")
    )

    alone, several = tuned["recommendation"]["provenance"], compared["provenance"]
    assert (alone["min_fps"], alone["match_score"], several["match_score"]) == (1, 0.25, 0.2)
    for told in (alone, several):
        assert weights.name in told["detector"]
        assert (told["reference_score"], told["image_size"]) == (0.4, 128)
        assert (told["frame_rate"], told["face_levels"]) == (None, None)
        assert told["machine_version"].endswith(f"reference 0.4 match {told['match_score']:g}")
    content = alone["clip_content_sha256"]
    assert several["clips_content_sha256"] == {Path(OTHER).stem: content}


def test_figures_of_an_earlier_run_do_not_stay(tuned: TuneRecord, tmp_path: Path) -> None:
    write_report(tuned, tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    less = replace(
        tuned,
        points=tuple(replace(one, encode_seconds=None) for one in tuned.points),
        searches=(),
        look=replace(tuned.look, loss_maps=None),
    )

    write_report(less, tmp_path)

    assert before - {path.name for path in tmp_path.iterdir()} == {
        "speed.png", "lost_sight.png", "importance-encoder.png", "slices-encoder.png",
    }  # fmt: skip


def opened(browser: Browser, page: Path, width: int, scheme: str) -> Iterator[Page]:
    """Yields a page; nothing may be said on its console, nothing asked for but the file."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    context.set_default_timeout(180_000)  # a machine may have other things to do
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown, said, asked = context.new_page(), [], []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("dialog", lambda dialog: said.append(dialog.message))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(page.as_uri())
    yield shown
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]


@pytest.mark.parametrize("command", ["tune", "compare"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_every_screen(
    folder: Path, browser: Browser, tmp_path: Path, command: str, width: int, scheme: str
) -> None:
    for page in opened(browser, folder / command / "report.html", width, scheme):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(20, 23, 26)" if scheme == "dark" else "rgb(255, 255, 255)")
        figures = page.locator(".figure")
        assert figures.count() >= (6 if command == "tune" else 1)
        for number in range(figures.count()):
            shown = figures.nth(number).locator("svg:visible")
            assert shown.count() == 1
            box = shown.bounding_box()
            assert box is not None
            assert 280 < box["width"] <= width
        assert page.locator(".read").count() >= figures.count()
        # Lines and letters of the figures stand out from the page.
        text = figures.first.locator("svg:visible text").first
        color = text.evaluate("element => getComputedStyle(element).fill")
        ink = page.evaluate("getComputedStyle(document.body).color")
        assert color == ink
        shot = tmp_path / "shot.png"
        page.screenshot(path=shot, full_page=True)
        assert shot.stat().st_size > 20_000


def test_links_toggles_and_tables_work(
    folder: Path, browser: Browser, tmp_path: Path, tuned: TuneRecord
) -> None:
    for page in opened(browser, folder / "tune" / "report.html", 1280, "light"):
        assert page.locator("h1").text_content() == Path(HOSTILE).name
        for link in page.locator("nav a").all():
            target = link.get_attribute("href")
            assert target is not None
            assert page.locator(target).count() == 1
            link.click()
            assert page.evaluate("location.hash") == target
        for name in ("trials.csv", "points.csv", "frames.csv", "report.json"):
            with page.expect_download() as download:
                page.get_by_role("link", name=name).click()
            download.value.save_as(tmp_path / name)
            assert (tmp_path / name).read_bytes() == (folder / "tune" / name).read_bytes()
        sights = page.locator(".sights:visible")
        assert sights.count() == len(tuned.look.moments[0].views)
        page.get_by_text("boxes", exact=True).click()
        assert sights.count() == 0
        page.get_by_text("boxes", exact=True).click()
        panels = page.locator(".panel:visible")
        for number in range(len(tuned.look.moments)):
            page.locator(".tabs label").nth(number).click()
            assert panels.count() == 1
            text = panels.text_content()
            assert text is not None
            assert f"Frame {tuned.look.moments[number].frame}:" in text
        heat = page.locator("#lost .over:visible")
        assert heat.count() >= 1
        page.get_by_text("heat map", exact=True).click()
        assert heat.count() == 0
        table = page.locator("#trials table")
        table.get_by_text("cost, %").click()
        costs = [float(text) for text in table.locator("td:nth-child(2)").all_text_contents()]
        assert costs == sorted(costs)
        table.get_by_text("cost, %").click()
        costs = [float(text) for text in table.locator("td:nth-child(2)").all_text_contents()]
        assert costs == sorted(costs, reverse=True)


def test_the_command_is_copied_and_quoted_for_a_shell(
    folder: Path, browser: Browser, tuned: TuneRecord
) -> None:
    for page in opened(browser, folder / "tune" / "report.html", 1280, "light"):
        page.locator("button[data-copy=ffmpeg-command]").click()
        page.get_by_role("button", name="copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == tuned.recommendation.ffmpeg_command
        assert str(folder / HOSTILE) in shlex.split(copied)
        other = page.locator("#ratesight-command").text_content()
        assert other is not None
        assert str(folder / HOSTILE) in shlex.split(other)


def test_printed_it_is_all_there_and_light(folder: Path, browser: Browser) -> None:
    for page in opened(browser, folder / "tune" / "report.html", 800, "dark"):
        page.emulate_media(media="print", color_scheme="dark")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == "rgb(255, 255, 255)"
        assert page.locator(".panel:visible").count() == page.locator(".panel").count()
        assert page.locator("button:visible").count() == 0
        assert page.pdf().startswith(b"%PDF")


def test_a_store_without_runs_says_what_to_do(tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.sqlite", tmp_path / "empty.sqlite"
    with open_store(empty) as store:
        store.put({"kind": "report", "version": 0}, {"kind": "tune"})

    for words, message in (
        ([missing], "is none"),
        ([empty], "1 are of another version; run 'ratesight tune'"),
        ([], "report needs a store"),
    ):
        result = CliRunner().invoke(app, ["report", *map(str, words)])
        assert result.exit_code in (1, 2)
        assert message in result.stderr
    assert not missing.exists()


def test_the_schema_is_printed() -> None:
    schema = json.loads(run("report", "--schema"))
    assert {"TuneRecord", "CompareRecord", "Recommendation"} <= set(schema["$defs"])


def test_a_summary_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    Figure(figsize=(2, 1)).savefig(tmp_path / "p.png")
    record = SummaryRecord(
        command="tune",
        name="set",
        title="x264 for <b>two</b> clips",
        headline="median BD-rate -3.0 %",
        number="-3.0 %",
        commands=(("Encode", "ratesight encode '<i>' OUT"),),
        tables=(
            Table(
                title="Clip by clip / 1",
                columns=("clip", "BD-rate"),
                rows=(("<script>x", "-1"), ("b", "-5")),
                read="negative is saved.",
            ),
        ),
        pictures=(read_picture(tmp_path / "p.png", title="A picture", read="it is empty."),),
        notes=("<u>note</u>",),
        provenance={"seed": 0, "versions": {"av": "1"}},
    )
    folder = tmp_path / "out"
    folder.mkdir()

    path = write_report(record, folder)

    assert {one.name for one in folder.iterdir()} == {
        "report.html", "report.json", "Clip_by_clip_1.csv", "p.png",
    }  # fmt: skip
    # Green is a saving whose whole interval is one.
    assert 'class="number"' in path.read_text()
    write_report(replace(record, is_sure=True), folder)
    assert 'class="number good"' in path.read_text()
    for page in opened(browser, path, 360, "dark"):
        assert page.locator("h1").text_content() == record.title
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.locator("img.paper").evaluate("element => element.naturalWidth") == 200
        page.locator("th").nth(1).click()
        assert page.locator("tbody td:first-child").all_text_contents() == ["b", "<script>x"]
        page.locator("th").nth(1).click()
        assert page.locator("tbody td:first-child").all_text_contents() == ["<script>x", "b"]
