"""Trains the learned metrics and writes their weights.

``python -m benchmarks.train_metrics --data ../shared/data`` builds the labelled pairs that are
missing (in ``pairs/``, or where ``--cache`` says), trains the heads on features of the ImageNet
network, then all layers at a low rate, and keeps the epoch that ranks best on the validation part.
Then the heads go on alone, on pictures at their own size and as the product sees them (enlarged for
objects), on what a camera sees that moves over the photos, and on faces and plates at every size.
On CUDA all layers learn from these too; on a CPU from photos and clips at their own size, which is
cheap. It goes on where it was stopped: pairs, statistics, whole epochs and the features are kept.
Then ``benchmarks.correlation`` judges the weights, and ``benchmarks.tables`` writes the scores into
the model card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import timm
import torch
from ratesight.metrics.similarity_network import BACKBONE, SimilarityNetwork, backbone
from safetensors.torch import load_file

from .build_pairs import build_pairs
from .similarity_examples import GENERAL, TASKS, Example, read_examples
from .similarity_heads import FIRST, LAST, train_heads
from .similarity_layers import LOG_FILE, ON_CPU, ON_CUDA, WEIGHTS_FILE, Log, train_all, write

_SEED = 0


def main() -> None:
    """Builds, trains, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("pairs"), help="of labelled pairs")
    parser.add_argument("--out", type=Path, default=Path("metrics/weights"))
    parser.add_argument("--jobs", type=int, default=2, help="processes that build pairs")
    parser.add_argument("--epochs", type=int, default=4, help="of all layers")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    build_pairs(arguments.data, arguments.cache, arguments.jobs)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(_SEED)
    # Pictures have hundreds of sizes, and each would cost seconds until cuDNN has its plans.
    torch.backends.cudnn.enabled = False
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = SimilarityNetwork((*TASKS, GENERAL))
    network.eval().to(device).to(memory_format=torch.channels_last)
    examples = {
        split: list(read_examples(arguments.cache, split)) for split in ("train", "validation")
    }
    features = arguments.cache / f"features_{arguments.epochs}"
    if not features.exists():
        start = arguments.data / "weights" / "mobilenetv3_small_timm.safetensors"
        train_features(network, examples, arguments.cache, start, arguments.epochs, features)
    weights = features / WEIGHTS_FILE
    network.load_state_dict(load_file(weights))
    log: Log = json.loads((features / LOG_FILE).read_text())["log"]
    for task, course in LAST.items():
        train_heads(network, [task], examples, arguments.cache, weights, course, log)
    write(network, arguments.out, log)


def train_features(
    network: SimilarityNetwork,
    examples: dict[str, list[Example]],
    cache: Path,
    start: Path,
    num_epochs: int,
    out: Path,
) -> None:
    """Trains the heads, then all layers, and writes weights and log into a folder when done."""
    load_backbone(network, start)
    log: Log = []
    state = cache / f"training_{num_epochs}.pt"
    if not state.exists():
        train_heads(network, network.heads, examples, cache, start, FIRST, log)
    partial = out.with_suffix(".part")
    look = ON_CUDA if torch.cuda.is_available() else ON_CPU
    train_all(network, examples, cache, look, num_epochs, state, partial, log)
    partial.rename(out)


def load_backbone(network: SimilarityNetwork, weights: Path) -> None:
    """Gives the features the weights of timm's ImageNet model."""
    model = timm.create_model(BACKBONE, pretrained=False)
    model.load_state_dict(load_file(weights))
    stem, stages = backbone(model.eval())
    network.stem.load_state_dict(stem.state_dict())
    network.stages.load_state_dict(stages.state_dict())


if __name__ == "__main__":
    main()
