"""Clips that nobody should trust: they name other files and hosts, or lie about themselves."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import imageio_ffmpeg
import pytest
from ratesight.codecs.clip import probe
from ratesight.codecs.command import ffmpeg_command
from ratesight.codecs.errors import ClipError
from ratesight.codecs.limits import ClipLimits
from ratesight.codecs.settings import Crf, EncodeSettings
from ratesight.codecs.source import load_source
from ratesight.optimizer.commands.app import app
from ratesight.optimizer.compare import Compared
from ratesight.optimizer.contestants import CurveMeasured
from ratesight.optimizer.curves.curve import RdPoint
from ratesight.optimizer.reports.pictures import draw_comparison
from typer.testing import CliRunner

NETWORK = ClipLimits(allow_network=True)


class Host:
    """A real web server on this machine that writes down what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.requests.append(self.path)
                file = folder / self.path.lstrip("/").partition("?")[0]
                if self.path == "/elsewhere.mp4":
                    self.send_response(302)
                    self.send_header("Location", (folder / "clip.mp4").as_uri())
                    self.end_headers()
                    return
                self.send_response(200 if file.is_file() else 404)
                content = file.read_bytes() if file.is_file() else b""
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def folder(
    clips: Path, tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., str]
) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    # In the order that a host can send it in.
    words = ("-c", "copy", "-movflags", "+faststart")
    ffmpeg("-i", clips / "carphone_qcif.mp4", *words, folder / "clip.mp4")
    ffmpeg("-i", folder / "clip.mp4", "-c", "copy", "-frames:v", 20, folder / "clip.ts")
    ffmpeg("-i", folder / "clip.mp4", "-frames:v", 1, folder / "f1.png")
    return folder


@pytest.fixture
def host(folder: Path) -> Iterator[Host]:
    host = Host(folder)
    thread = threading.Thread(target=host.server.serve_forever, args=(0.05,))
    thread.start()
    yield host
    host.server.shutdown()
    host.server.server_close()
    thread.join()


def m3u8(address: str) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\n{address}\n#EXT-X-ENDLIST\n"


def ffconcat(address: str) -> str:
    return f"ffconcat version 1.0\nfile '{address}'\n"


def dash(address: str) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="0" bandwidth="1"><BaseURL>{address}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    )


def sdp(address: str) -> str:
    port = address.partition("127.0.0.1:")[2].partition("/")[0] or "9"
    return f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n"


PLAYLISTS = {
    "list.m3u8": m3u8,
    "list.mp4": m3u8,
    "list.ffconcat": ffconcat,
    "concat.mp4": ffconcat,
    "list.mpd": dash,
    "dash.mp4": dash,
    "list.sdp": sdp,
    "sdp.mp4": sdp,
}


@pytest.mark.parametrize("limits", [ClipLimits(), NETWORK])
@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_reads_no_file_and_asks_no_host(
    name: str, limits: ClipLimits, folder: Path, host: Host, tmp_path: Path
) -> None:
    shutil.copy(folder / "clip.ts", tmp_path / "clip.ts")
    for address in ("clip.ts", str(folder / "clip.ts"), f"{host.address}/clip.ts"):
        playlist = tmp_path / name
        playlist.write_text(PLAYLISTS[name](address))
        for open_clip in (probe, load_source):
            with pytest.raises(ClipError, match=r"clip must be a video that") as caught:
                open_clip(playlist, limits=limits)
            assert "\n" not in str(caught.value)
    assert host.requests == []


def test_what_a_playlist_is_taken_for_is_said(tmp_path: Path, folder: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(m3u8(str(folder / "clip.ts")))
    with pytest.raises(ClipError, match=r"stands alone, .*list.m3u8 is taken for hls, .*OUT.mkv"):
        probe(playlist)


def test_a_name_with_a_pattern_is_one_file(folder: Path, tmp_path: Path) -> None:
    # FFmpeg would take f%d.png for a sequence, and read f1.png.
    shutil.copy(folder / "f1.png", tmp_path / "f1.png")
    for name in ("f%d.png", "f*.png", "f?.png"):
        (tmp_path / name).write_bytes(b"no picture")
        with pytest.raises(ClipError, match=r"f.*\.png decodes: frame 0 does not decode"):
            probe(tmp_path / name)


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp"])
def test_a_clip_on_a_network_needs_leave(scheme: str, host: Host) -> None:
    address = f"{host.address.replace('http', scheme)}/clip.mp4"
    for open_clip in (probe, load_source):
        with pytest.raises(ClipError, match=rf"{address} is not; give --allow-network"):
            open_clip(address)
    assert host.requests == []


def test_with_leave_it_is_the_same_clip(folder: Path, host: Host) -> None:
    address = f"{host.address}/clip.mp4?hour=3"
    assert probe(address, limits=NETWORK).num_frames == 120
    with (
        load_source(address, max_seconds=0.5, limits=NETWORK) as remote,
        load_source(folder / "clip.mp4", max_seconds=0.5) as local,
    ):
        assert remote.content_sha256 == local.content_sha256
        command = ffmpeg_command(
            EncodeSettings(codec="x264", preset="fast", rate_control=Crf(value=30)),
            remote,
            input_name=str(remote.path),
            output_name="OUTPUT.mkv",
        )
    assert set(host.requests) == {"/clip.mp4?hour=3"}
    assert f"-i '{address}'" in command


def test_the_password_of_a_camera_is_written_nowhere(
    host: Host, folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    camera = host.address.replace("//", "//admin:se.cret@") + "/clip.mp4"
    gone = camera.replace("clip", "gone")
    common = [
        "--allow-network", "--detector", str(weights), "--image-size", "128", "--max-seconds",
        "0.4",
    ]  # fmt: skip

    tuned = CliRunner().invoke(
        app, ["tune", camera, "--trials", "1", "--target-quality", "0.8", *common]
    )
    compared = CliRunner().invoke(
        app, ["compare", camera, gone, "--codec", "x264", "--codec", "x265", *common]
    )

    words = ["--metric", "psnr", "--json", "--max-seconds", "0.4", "--allow-network"]
    scored = CliRunner().invoke(app, ["score", camera, camera, *words])

    for done in (tuned, compared, scored):
        assert done.exit_code in (0, 3), done.output
        assert "se.cret" not in done.output
    told = host.address.replace("//", "//USER:PASSWORD@")
    assert f"{told}/clip.mp4" in tuned.stdout
    assert "gone skipped: clip must be" in compared.stderr
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"se.cret" not in path.read_bytes(), path
    assert f"{told}/clip.mp4" in (tmp_path / "ratesight-out/compare/report.json").read_text()


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "elsewhere.mp4", "missing.mp4"])
def test_a_host_names_no_file_of_ours_and_no_other_host(
    name: str, folder: Path, host: Host
) -> None:
    if name in PLAYLISTS:
        (folder / name).write_text(PLAYLISTS[name](f"{host.address}/clip.ts"))
    with pytest.raises(ClipError, match=r"clip must be a video that"):
        probe(f"{host.address}/{name}", limits=NETWORK)
    assert f"/{name}" in host.requests
    assert "/clip.ts" not in host.requests


def test_a_host_that_does_not_answer_is_left(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/clip.mp4"
        limits = ClipLimits(allow_network=True, stall_seconds=0.3)
        with pytest.raises(ClipError, match=r"does not answer in time; .*stall-seconds=N"):
            probe(address, limits=limits)


def test_what_is_no_file_is_not_read() -> None:
    with pytest.raises(ClipError, match=r"/dev/zero is neither"):
        probe("/dev/zero")


class TestCommands:
    """What the options say reaches the clip."""

    @pytest.mark.parametrize(
        "words",
        [
            ("probe", "CLIP"),
            ("tune", "CLIP"),
            ("compare", "CLIP", "--codec", "x264", "--codec", "x265"),
            ("score", "CLIP", "CLIP", "--metric", "psnr"),
        ],
    )
    def test_a_clip_above_a_limit_ends_in_one_line(
        self,
        words: tuple[str, ...],
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        words = tuple(str(folder / "clip.mp4") if word == "CLIP" else word for word in words)
        ended = CliRunner().invoke(app, [*words, "--limit", "frames=3"])
        assert ended.exit_code == 1
        assert "a clip's frames must be at most 3" in ended.stderr
        assert "--limit frames=N" in ended.stderr

    def test_a_limit_that_is_none_is_misuse(self, folder: Path) -> None:
        words = ["probe", str(folder / "clip.mp4"), "--limit", "flames=3"]
        ended = CliRunner().invoke(app, words)
        assert (ended.exit_code, ended.stdout) == (2, "")
        assert "limit must be NAME=NUMBER with one of size-gb, pixels" in ended.stderr

    def test_a_clip_on_a_network_is_probed_with_leave(self, host: Host) -> None:
        words = ["probe", f"{host.address}/clip.mp4", "--json"]
        refused = CliRunner().invoke(app, words)
        assert refused.exit_code == 1
        assert f"{host.address}/clip.mp4 is not; give --allow-network" in refused.stderr
        probed = CliRunner().invoke(app, [*words, "--allow-network"])
        assert probed.exit_code == 0
        assert json.loads(probed.stdout)["path"] == f"{host.address}/clip.mp4"


class TestNames:
    """Names of files reach neither a terminal, nor a shell, nor a picture unescaped."""

    NAMES = (
        "\x1b[2Jclear\x1b]0;title\x07.mp4",
        "[bold]red[blink].mp4",
        "$\\frac{.mp4",
        "two\nlines.mp4",
        "\u202egpm.mp4",
        "\udcff.mp4",
        "-rf.mp4",
        "it's; $(touch created) %03d `x`.mp4",
    )

    @pytest.mark.parametrize("name", NAMES)
    def test_a_name_is_shown_as_it_is(
        self, name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        shutil.copy(folder / "clip.mp4", tmp_path / name)

        probed = CliRunner().invoke(app, ["probe", "--", name])
        assert probed.exit_code == 0, probed.output
        told = CliRunner().invoke(app, ["probe", "--json", "--", name])
        assert json.loads(told.stdout)["path"] == name
        refused = CliRunner().invoke(app, ["probe", "--limit", "frames=3", "--", name])
        assert refused.exit_code == 1
        scored = CliRunner().invoke(
            app, ["score", "--metric", "psnr", "--max-seconds", "0.1", "--", name, name]
        )
        assert scored.exit_code == 0, scored.output

        assert len(refused.stderr.splitlines()) == 1
        for text in (probed.output, told.output, refused.output, scored.output):
            assert all(sign.isprintable() or sign == "\n" for sign in text), text

    @pytest.mark.parametrize("name", NAMES)
    def test_a_command_to_paste_encodes_that_file(
        self, name: str, folder: Path, tmp_path: Path
    ) -> None:
        shutil.copy(folder / "clip.mp4", tmp_path / name)
        settings = EncodeSettings(codec="x264", preset="ultrafast", rate_control=Crf(value=30))
        with load_source(tmp_path / name, max_seconds=0.1) as source:
            command = ffmpeg_command(settings, source, input_name=name, output_name=f"out-{name}")

        assert command.isprintable()
        executable = imageio_ffmpeg.get_ffmpeg_exe()
        script = f'ffmpeg() {{ {executable} -nostdin -loglevel error "$@"; }}; {command}'
        subprocess.run(["bash", "-c", os.fsencode(script)], cwd=tmp_path, check=True)
        assert sorted(os.listdir(tmp_path)) == sorted([name, f"out-{name}"])

    def test_a_picture_of_curves_takes_any_name(self, tmp_path: Path) -> None:
        points = tuple(
            RdPoint(crf=20.0 + n, rate_kbps=100 - 9.0 * n, quality=0.9 - 0.05 * n) for n in range(4)
        )
        curves = [
            CurveMeasured(
                clip=name.removesuffix(".mp4"),
                contestant=name,
                points=points,
                intervals=((0.5, 1.0),) * len(points),
            )
            for name in self.NAMES
        ]
        compared = Compared(
            curves=tuple(curves), pairs=(), skipped=(), num_encodes=1, num_from_store=0
        )
        draw_comparison(compared, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
