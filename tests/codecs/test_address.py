"""Addresses survive being paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from ratesight.codecs.address import (
    clip_name,
    clip_text,
    network_address,
    shown_clip,
    without_password,
)


@pytest.mark.parametrize(
    "address",
    [
        "http://host/clip.mp4",
        "https://user@host:8443/a/b.mkv?from=1&to=2#x",
        "rtsp://10.0.0.1:554/stream",
    ],
)
def test_an_address_is_found_in_its_path(address: str) -> None:
    assert network_address(Path(address)) == address
    assert clip_text(Path(address)) == address


@pytest.mark.parametrize(
    "path",
    [
        "clip.mp4",
        "/http:/clip.mp4",
        "./http/clip.mp4",
        "ftp://host/a.mp4",
        "file:///a.mp4",
        "http:",
    ],
)
def test_what_is_no_address_is_a_path(path: str) -> None:
    assert network_address(Path(path)) is None
    assert clip_text(Path(path)) == str(Path(path))


def test_the_scheme_is_written_small() -> None:
    assert network_address(Path("HTTP://Host/A.mp4")) == "http://Host/A.mp4"


@pytest.mark.parametrize(
    ("address", "shown", "name"),
    [
        ("rtsp://admin:secret@cam/stream.sdp", "rtsp://USER:PASSWORD@cam/stream.sdp", "stream"),
        ("RTSP://admin:p@ss@10.0.0.1:554", "rtsp://USER:PASSWORD@10.0.0.1:554", "10.0.0"),
        ("https://user@host/a@b.mp4?to=c@d", "https://USER:PASSWORD@host/a@b.mp4?to=c@d", "a@b"),
        ("http://host/a@b.mp4", "http://host/a@b.mp4", "a@b"),
        ("clips/a@b.mp4", "clips/a@b.mp4", "a@b"),
    ],
)
def test_user_and_password_are_not_shown(address: str, shown: str, name: str) -> None:
    path = Path(address)

    assert shown_clip(path) == shown
    assert clip_name(path) == name
    assert "secret" not in without_password(f"{path!r} and {address} do not answer")
