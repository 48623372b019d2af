"""Addresses survive being paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from ratesight.codecs.address import clip_text, network_address


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
