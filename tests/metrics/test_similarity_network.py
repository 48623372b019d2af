"""Statistics of features: they are means over exactly the region, and identity is the best."""

import numpy as np
import pytest
import timm
import torch
from ratesight.metrics.similarity_network import (
    BACKBONE,
    LEVEL_CHANNELS,
    NUM_STATISTICS,
    NUM_VIEWS,
    Regions,
    SimilarityNetwork,
    backbone,
    identity,
    similarity,
)
from torch import nn


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return SimilarityNetwork(("objects", "general")).eval().requires_grad_(False)


def regions(*boxes):
    return Regions(
        boxes=torch.tensor(boxes, dtype=torch.float32),
        scores=torch.full((len(boxes),), 0.7),
        classes=torch.zeros(len(boxes), dtype=torch.long),
    )


def noise(*shape, seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class TestSimilarity:
    def test_statistics_are_those_of_the_samples(self):
        first, second = np.random.default_rng(2).normal(size=(2, 500)) * [[1], [2]] + [[1], [3]]
        moments = (
            first.mean(), (first**2).mean(), second.mean(), (second**2).mean(),
            (first * second).mean(),
        )  # fmt: skip
        mean, structure, variance, error, detail = similarity(*map(torch.tensor, moments)).tolist()
        assert mean == pytest.approx(
            2 * first.mean() * second.mean() / (first.mean() ** 2 + second.mean() ** 2), rel=1e-3
        )
        assert structure == pytest.approx(
            2 * np.cov(first, second, ddof=0)[0, 1] / (first.var() + second.var()), abs=1e-3
        )
        assert variance == pytest.approx(np.log(second.var() / first.var()), abs=2e-3)
        assert error == pytest.approx(
            np.log(((first - second) ** 2).mean() / first.var()), abs=2e-3
        )
        assert detail == pytest.approx(np.log(first.var()), abs=2e-3)

    def test_flat_regions_are_numbers(self):
        flat = torch.zeros(4)
        assert torch.isfinite(similarity(flat, flat, flat, flat, flat)).all()


class TestFeatures:
    def test_normalisation_becomes_part_of_the_convolutions(self):
        torch.manual_seed(3)
        model = timm.create_model(BACKBONE, pretrained=False).eval().requires_grad_(False)
        norms = [one for one in model.modules() if isinstance(one, nn.BatchNorm2d)]
        for norm in norms:
            norm.running_mean.normal_(std=0.2)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.data.uniform_(0.5, 2)
            norm.bias.data.normal_(std=0.2)
        picture = noise(1, 3, 65, 97)
        expected = [model.bn1(model.conv_stem(picture))]
        for block in list(model.blocks.children())[:5]:
            expected.append(block(expected[-1]))

        stem, stages = backbone(model)

        found = [stem(picture)]
        for stage in stages:
            found.append(stage(found[-1]))
        assert not any(
            isinstance(one, nn.BatchNorm2d) for one in (*stem.modules(), *stages.modules())
        )
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))

    def test_gradients_are_those_of_the_mean_of_the_colours(self, network):
        picture = noise(1, 3, 20, 30)
        finest, _ = network.fine_levels(picture)
        grey = picture.mean(1)
        assert torch.equal(finest[:, :3], picture)
        assert torch.allclose(finest[0, 3, :, :-1], grey.diff(dim=2)[0], atol=1e-6)
        assert torch.allclose(finest[0, 4, :-1], grey.diff(dim=1)[0], atol=1e-6)
        assert not finest[0, 3, :, -1].any()
        assert not finest[0, 4, -1].any()


class TestStatistics:
    def test_pixels_are_averaged_over_exactly_the_box(self, network):
        picture, other = noise(1, 3, 64, 96), noise(1, 3, 64, 96, seed=2)
        reference = network.reference(picture, torch.tensor([[8.0, 16, 40, 48]]))
        inside = picture[0, :, 16:48, 8:40]
        assert torch.allclose(reference.means[0, 0, :3], inside.mean((1, 2)), atol=1e-5)
        assert torch.allclose(reference.squares[0, 0, :3], (inside**2).mean((1, 2)), atol=1e-5)
        error = ((picture - other)[0, :, 16:48, 8:40] ** 2).mean((1, 2))
        found = network.statistics(reference, other)[0, 0, 0, :3, 3]
        variance = inside.var((1, 2), unbiased=False)
        assert torch.allclose(found, torch.log((error + 1e-4) / (variance + 1e-3)), atol=1e-4)

    def test_part_of_a_pixel_counts_in_part(self, network):
        picture = torch.zeros(1, 3, 32, 32)
        picture[..., 10] = 1.0
        reference = network.reference(picture, torch.tensor([[10.5, 0, 12.5, 32]]))
        assert reference.means[0, 0, 0].item() == pytest.approx(0.25)

    def test_surroundings_stay_inside_the_picture(self, network):
        picture = noise(1, 3, 32, 48)
        reference = network.reference(picture, torch.tensor([[0.0, 0, 48, 32]]))
        assert torch.allclose(reference.means[0], reference.means[1], atol=1e-5)

    @pytest.mark.parametrize("size", [(33, 47), (64, 64), (17, 200)])
    def test_any_size(self, network, size):
        picture = noise(1, 3, *size)
        reference = network.reference(picture, torch.tensor([[1.0, 1, 14, 13], [0, 0, 3, 3]]))
        found = network.statistics(reference, noise(2, 3, *size))
        assert found.shape == (2, NUM_VIEWS, 2, sum(LEVEL_CHANNELS), NUM_STATISTICS)
        assert torch.isfinite(found).all()

    def test_what_lies_outside_the_surroundings_hardly_matters(self, network):
        picture = noise(1, 3, 64, 256)
        box = torch.tensor([[8.0, 8, 56, 56]])
        reference = network.reference(picture, box)
        changed = picture.clone()
        changed[..., 192:] = 0
        found = network.statistics(reference, changed)
        same = identity(reference)
        pixels = slice(0, sum(LEVEL_CHANNELS[:2]))
        assert torch.allclose(found[..., pixels, :], same[..., pixels, :], atol=1e-4)


class TestQuality:
    def test_identity_is_exactly_one(self, network):
        picture = noise(1, 3, 64, 96)
        some = regions((8, 16, 40, 48), (0, 0, 96, 64))
        reference = network.reference(picture, some.boxes)
        with torch.inference_mode():
            assert network.quality("objects", reference, picture, some).tolist() == [[1.0, 1.0]]

    def test_versions_do_not_disturb_each_other(self, network):
        picture, some = noise(1, 3, 64, 96), regions((8, 16, 40, 48))
        versions = torch.cat([noise(1, 3, 64, 96, seed=seed) for seed in (2, 3)])
        reference = network.reference(picture, some.boxes)
        with torch.inference_mode():
            both = network.quality("general", reference, versions, some)
            alone = network.quality("general", reference, versions[1:], some)
        assert torch.allclose(both[1:], alone, atol=1e-5)
        assert ((both >= 0) & (both <= 1)).all()

    def test_what_is_known_of_the_reference_is_not_made_again(self, network):
        picture, some = noise(1, 3, 64, 96), regions((8, 16, 40, 48), (0, 0, 96, 64))
        reference = network.reference(picture, some.boxes)
        version = noise(1, 3, 64, 96, seed=2)
        with torch.inference_mode():
            best = network.best("objects", reference, some)
            made = network.quality("objects", reference, version, some)
            known = network.quality("objects", reference, version, some, best)
            half, quarter = (
                network.quality("objects", reference, version, some, best * factor)
                for factor in (4, 8)
            )
        assert torch.equal(known, made)
        assert torch.allclose(quarter, half / 2)
