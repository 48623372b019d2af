"""Weights that would do more than compute are refused before they do it."""

from __future__ import annotations

import os
import pickle
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ratesight.metrics.detector import load_detector
from ratesight.metrics.errors import WeightsError
from ratesight.metrics.weights_file import check_weights


class Calls:
    """Pickles as a call of a function, which runs when the pickle is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def attacks(target: Path) -> dict[str, Calls]:
    """Pickles that would each create a file."""
    command = f"touch {target}"
    return {
        "os.system": Calls(os.system, command),
        "subprocess": Calls(subprocess.check_call, ["touch", str(target)]),
        "eval": Calls(eval, f"open({str(target)!r}, 'w')"),
        "exec": Calls(exec, f"open({str(target)!r}, 'w')"),
        "open": Calls(open, str(target), "w"),
        "getattr": Calls(getattr, Calls(__import__, "os"), "mkfifo"),
        "torch": Calls(torch.hub.download_url_to_file, f"file://{__file__}", str(target)),
        "pathlib": Calls(Path.touch, target),
    }


def save_zip(content: object, file: Path) -> None:
    torch.save(content, file)


def save_old(content: object, file: Path) -> None:
    torch.save(content, file, _use_new_zipfile_serialization=False)


def save_pickle(content: object, file: Path) -> None:
    file.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("save", [save_zip, save_old, save_pickle])
@pytest.mark.parametrize("name", attacks(Path("x")))
def test_a_pickle_that_runs_something_is_refused_before_it_does(
    name: str, save: Callable[[object, Path], None], tmp_path: Path
) -> None:
    target, file = tmp_path / "created", tmp_path / "model.pt"
    attack = attacks(target)[name]
    save({"model": attack, "train_args": {}}, file)

    with pytest.raises(WeightsError, match=r"model that ultralytics loads, .*model.pt is not") as e:
        load_detector(str(file))

    assert not target.exists()
    assert "\n" not in str(e.value)


def test_the_attacks_are_real(tmp_path: Path) -> None:
    target, file = tmp_path / "created", tmp_path / "model.pt"
    save_zip({"model": attacks(target)["os.system"]}, file)

    torch.load(file, weights_only=False)

    assert target.exists()


def test_a_model_that_evaluates_text_is_refused(tmp_path: Path) -> None:
    # Ultralytics makes an activation of a text in the model's description.
    from ultralytics.nn.tasks import DetectionModel

    target, file = tmp_path / "created", tmp_path / "model.pt"
    layers = [[-1, 1, "Conv", [8, 3, 2]]], [[[-1], 1, "Detect", ["nc"]]]
    description = {
        "nc": 1,
        "scales": {"n": [1, 1, 64]},
        "backbone": layers[0],
        "head": layers[1],
        "activation": f"open({str(target)!r}, 'w')",
    }
    save_zip({"model": Calls(DetectionModel, description)}, file)

    with pytest.raises(WeightsError, match=r"model that ultralytics loads, .*model.pt is not"):
        load_detector(str(file))

    assert not target.exists()


@pytest.mark.parametrize("name", ["yolov8n.pt", "plate_yolov8n.pt", "yolov5n.torchscript"])
def test_real_weights_are_loaded(name: str, data: Path) -> None:
    detector = load_detector(str(data / "weights" / name), image_size=64)

    assert detector.weights == data / "weights" / name


class Saves(torch.nn.Module):
    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        torch.ops.aten.save(picture, "created")
        return picture


class Maps(torch.nn.Module):
    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.from_file("created", True, 16) + picture.sum()


class Reads(torch.nn.Module):
    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.ops.image.read_file("secret") + picture.sum()


@pytest.mark.parametrize(
    ("module", "operator"),
    [(Saves, "save"), (Maps, "from_file"), (Reads, "read_file")],
)
def test_a_script_that_reaches_files_is_refused(
    module: type[torch.nn.Module], operator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision  # noqa: F401  # registers the operators of pictures

    monkeypatch.chdir(tmp_path)
    Path("secret").write_bytes(b"secret")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.script(module())
        script.save("model.torchscript")
        script(torch.zeros(1, 3, 8, 8))
    # It is no empty threat.
    assert Path("created").exists() == (module is not Reads)
    Path("created").unlink(missing_ok=True)

    with pytest.raises(WeightsError, match=rf"must only compute, .* with '{operator}', which may"):
        load_detector("model.torchscript")

    assert not Path("created").exists()


def test_a_script_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.torchscript"
    file.write_bytes(b"no archive" * 100)

    with pytest.raises(WeightsError, match=r"ultralytics loads, .* is no archive of TorchScript"):
        check_weights(str(file))


def test_a_description_of_a_model_is_not_built(tmp_path: Path) -> None:
    target, file = tmp_path / "created", tmp_path / "model.yaml"
    file.write_text(
        f"nc: 1\nactivation: open({str(target)!r}, 'w')\nbackbone:\n  - [-1, 1, Conv, [8, 3, 2]]\n"
        f"head:\n  - [[-1], 1, Detect, [nc]]\n"
    )

    with pytest.raises(WeightsError, match=r"as \.pt, \.torchscript, \.onnx, .*model.yaml is not"):
        load_detector(str(file))

    assert not target.exists()


@pytest.mark.parametrize("suffix", ["engine", "pb", "pth", "tflite", "mlpackage", "pkl"])
def test_formats_that_may_run_code_are_refused(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"model.{suffix}"
    file.write_bytes(b"anything")

    with pytest.raises(WeightsError, match=rf"model.{suffix} is not; export it: yolo export"):
        load_detector(str(file))


@pytest.mark.parametrize("address", ["https://host/x.pt", "http://host:8000/model", "grpc://h/m"])
def test_an_address_is_no_weights_file(address: str) -> None:
    with pytest.raises(WeightsError, match=rf"got {address}; download it first"):
        load_detector(address)
