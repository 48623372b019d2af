"""What lies outside of the regions gets simpler; what lies inside stays as it is."""

import av
import cv2
import numpy as np
import pytest
from ratesight.codecs.background import BackgroundFilter
from ratesight.codecs.errors import RegionError
from ratesight.codecs.planes import video_frame
from ratesight.codecs.region import Region
from ratesight.codecs.source import load_source

SIZES = [(64, 64), (66, 66), (176, 146), (2, 2)]


def split(planes):
    """Returns Y, U and V."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    return planes[:height], *planes[height:].reshape(2, height // 2, width // 2)


def noise(width, height, *, seed=0, middle=128, strength=60, dtype=np.uint8):
    """Returns a frame of even noise that nobody can write on."""
    generator = np.random.default_rng(seed)
    shape = (height * 3 // 2, width)
    planes = generator.integers(middle - strength, middle + strength, shape, endpoint=True)
    planes = planes.astype(dtype)
    planes.flags.writeable = False
    return planes


def painted(planes, box, level):
    """Returns a frame with an object in luma."""
    x0, y0, x1, y1 = box
    planes = planes.copy()
    planes[y0:y1, x0:x1] = level
    return planes


def region(x0, y0, x1, y1, weight=1.0):
    return Region(x0=x0, y0=y0, x1=x1, y1=y1, weight=weight)


def detail(plane):
    """Returns the energy of what a Laplacian lets pass."""
    return float(np.square(cv2.Laplacian(plane.astype(np.float32), cv2.CV_32F)).mean())


@pytest.fixture(scope="module")
def frames(street):
    with load_source(street, max_seconds=0.4) as source:
        yield [source.planes(index) for index in range(source.num_frames)]


@pytest.fixture(scope="module")
def hall(clips):
    """A camera on a wall: 30 frames in which little moves."""
    name = "indoor_one_by_one_person_432p.mp4"
    with load_source(clips / name, max_seconds=3) as source:
        yield source


class TestBoth:
    @pytest.mark.parametrize("options", [{"blur_sigma": 2.0}, {"freeze_threshold": 4.0}])
    @pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
    def test_options_that_make_no_sense(self, options, value):
        (name,) = options
        message = rf"{name} must be finite and at least 0, got {value:g}; 0 turns it off"
        with pytest.raises(RegionError, match=message):
            BackgroundFilter(**{name: value})

    def test_off_returns_the_very_frame(self, frames):
        assert BackgroundFilter().apply(frames[0], []) is frames[0]

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("options", [(2.0, 0.0), (0.0, 4.0), (0.5, 4.0)])
    def test_every_even_size_keeps_shape_and_type(self, options, size, dtype):
        blur_sigma, freeze_threshold = options
        background = BackgroundFilter(blur_sigma=blur_sigma, freeze_threshold=freeze_threshold)
        for seed in range(3):
            planes = noise(*size, seed=seed, dtype=dtype)
            before = planes.copy()
            filtered = background.apply(planes, [region(0, 0, 1, 1)])
            assert (filtered.shape, filtered.dtype) == (planes.shape, dtype)
            np.testing.assert_array_equal(planes, before)
            assert filtered[0, 0] == planes[0, 0]

    def test_regions_are_the_originals_to_the_bit(self, frames):
        background = BackgroundFilter(blur_sigma=4.0, freeze_threshold=8.0)
        for number, planes in enumerate(frames):
            # Odd edges: the chroma samples that they cut are inside, too.
            x0, y0 = 101 + 7 * number, 53 + number
            regions = [region(x0, y0, x0 + 90, y0 + 61), region(600, 250, 640, 272)]
            filtered = background.apply(planes, regions)
            for plane, original, side in zip(
                split(filtered), split(planes), (1, 2, 2), strict=True
            ):
                for one in regions:
                    rows = slice(one.y0 // side, -(-one.y1 // side))
                    columns = slice(one.x0 // side, -(-one.x1 // side))
                    np.testing.assert_array_equal(plane[rows, columns], original[rows, columns])
            assert (filtered != planes).mean() > 0.3

    def test_region_that_covers_everything(self, frames):
        background = BackgroundFilter(blur_sigma=4.0, freeze_threshold=8.0)
        for planes in frames:
            filtered = background.apply(planes, [region(0, 0, 640, 272)])
            np.testing.assert_array_equal(filtered, planes)

    def test_filters_share_nothing_and_repeat_themselves(self, frames):
        def run(background):
            return [background.apply(planes, [region(99, 9, 300, 200)]) for planes in frames[:4]]

        options = {"blur_sigma": 2.0, "freeze_threshold": 4.0}
        alone = run(BackgroundFilter(**options))
        first, second = BackgroundFilter(**options), BackgroundFilter(**options)
        other = [region(0, 0, 40, 40)]
        for planes, expected in zip(frames, alone, strict=False):
            second.apply(frames[-1], other)
            found = first.apply(planes, [region(99, 9, 300, 200)])
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(run(BackgroundFilter(**options)), alone)

    def test_first_region_counts(self):
        # A background listed first is a hole in what follows. A block that an object reaches is
        # not frozen, though, whatever is listed first.
        regions = [region(0, 0, 24, 64, weight=0.0), region(8, 0, 64, 64)]
        background = BackgroundFilter(blur_sigma=2.0, freeze_threshold=200.0)
        for seed in range(2):
            planes = noise(64, 64, seed=seed)
            filtered = background.apply(planes, regions)
            np.testing.assert_array_equal(filtered[:64, 24:], planes[:64, 24:])
            assert (filtered[:64, :20] != planes[:64, :20]).mean() > 0.8

    @pytest.mark.parametrize(("x0", "y0"), [(20, 20), (21, 20), (20, 21), (21, 21)])
    def test_chroma_sample_is_kept_for_each_of_its_pixels(self, x0, y0):
        planes = noise(64, 64)
        filtered = BackgroundFilter(blur_sigma=2.0).apply(planes, [region(x0, y0, x0 + 1, y0 + 1)])
        for plane, original in zip(split(filtered)[1:], split(planes)[1:], strict=True):
            assert plane[10, 10] == original[10, 10]


class TestBlur:
    def test_background_loses_detail_in_every_plane(self, frames):
        energies = []
        for sigma in (0.0, 1.0, 2.0, 4.0):
            filtered = BackgroundFilter(blur_sigma=sigma).apply(frames[0], [])
            energies.append([detail(plane) for plane in split(filtered)])
        assert np.all(np.diff(np.array(energies), axis=0) < 0)
        assert energies[2][0] < energies[0][0] / 10

    def test_ten_bits_are_blurred_like_eight(self, frames):
        regions = [region(100, 50, 200, 150), region(300, 50, 400, 150, weight=0.5)]
        shallow = BackgroundFilter(blur_sigma=2.0).apply(frames[0], regions)
        deep = frames[0].astype(np.uint16) * 4
        deep = BackgroundFilter(blur_sigma=2.0).apply(deep, regions)
        assert np.abs(deep / 4 - shallow).max() <= 1

    @pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 1023)])
    def test_extremes_stay_in_range(self, dtype, top):
        # Black and white: where rounding would run over, it would wrap around.
        planes = (noise(66, 66, strength=100) > 128).astype(dtype) * dtype(top)
        regions = [region(20, 20, 41, 41), region(41, 41, 60, 60, weight=0.3)]
        filtered = BackgroundFilter(blur_sigma=1.0).apply(planes, regions)
        assert filtered.max() <= top
        flat = np.full((99, 66), top, dtype)
        np.testing.assert_array_equal(BackgroundFilter(blur_sigma=3.0).apply(flat, regions), flat)

    def test_original_fades_out_around_a_region(self):
        # On a checkerboard, all that is left of the contrast is the original's share.
        planes = np.full((192, 128), 128, np.uint8)
        planes[:128] = 28 + 200 * (np.indices((128, 128)).sum(axis=0) % 2)
        filtered = BackgroundFilter(blur_sigma=4.0).apply(planes, [region(48, 48, 80, 80)])
        contrast = np.abs(filtered[64].astype(int) - 128)
        np.testing.assert_array_equal(contrast[48:80], 100)
        for side in (contrast[80:], contrast[47::-1]):
            assert np.all(np.diff(side) <= 0)
            assert 80 < side[0] < 100
            # No step is larger than a fair share of so many.
            assert np.diff(side).min() > -15
            np.testing.assert_array_equal(side[8:], 0)

    @pytest.mark.parametrize("weight", [0.25, 0.5, 1.0])
    def test_weight_is_the_share_of_the_original(self, weight):
        planes = noise(96, 96)
        everything = BackgroundFilter(blur_sigma=2.0).apply(planes, []).astype(int)
        # A neighbour's fade-out does not reach in.
        regions = [region(40, 40, 61, 61, weight), region(30, 40, 40, 61)]
        filtered = BackgroundFilter(blur_sigma=2.0).apply(planes, regions)
        expected = everything + weight * (planes.astype(int) - everything)
        inside = (slice(40, 61), slice(40, 61))
        assert np.abs(filtered[inside] - expected[inside]).max() <= 0.5

    def test_regions_that_move_are_followed(self):
        background = BackgroundFilter(blur_sigma=2.0)
        planes = noise(96, 96)
        for x0 in (0, 0, 40, 0):
            regions = [region(x0, 0, x0 + 32, 96)]
            expected = BackgroundFilter(blur_sigma=2.0).apply(planes, regions)
            np.testing.assert_array_equal(background.apply(planes, regions), expected)

    def test_nothing_is_shifted(self, frames):
        blurred = BackgroundFilter(blur_sigma=2.0).apply(frames[0], [])
        for plane, original in zip(split(blurred), split(frames[0]), strict=True):
            shift, _ = cv2.phaseCorrelate(original.astype(np.float32), plane.astype(np.float32))
            assert np.abs(shift).max() < 0.05
            assert plane.mean() == pytest.approx(original.mean(), abs=0.1)

    def test_chroma_planes_stay_apart(self):
        planes = np.full((99, 66), 100, np.uint8)
        split(planes)[1][:] = 50
        split(planes)[2][:] = 200
        np.testing.assert_array_equal(BackgroundFilter(blur_sigma=4.0).apply(planes, []), planes)


class TestFreeze:
    @pytest.mark.parametrize("size", [(64, 64), (66, 66), (176, 146)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_noise_stands_still(self, size, dtype):
        scale = 4 if dtype is np.uint16 else 1
        background = BackgroundFilter(freeze_threshold=4.0)
        pictures = [
            noise(*size, seed=seed, middle=128 * scale, strength=2 * scale, dtype=dtype)
            for seed in range(5)
        ]
        assert background.apply(pictures[0], []) is pictures[0]
        for planes in pictures[1:]:
            np.testing.assert_array_equal(background.apply(planes, []), pictures[0])

    @pytest.mark.parametrize("plane", [0, 1, 2])
    def test_change_passes_and_only_there(self, plane):
        background = BackgroundFilter(freeze_threshold=4.0)
        first, second = noise(176, 146, seed=1, strength=3), noise(176, 146, seed=2, strength=3)
        side = 8 if plane else 16
        block = (slice(2 * side, 3 * side), slice(4 * side, 5 * side))
        second = second.copy()
        split(second)[plane][block] += 8
        background.apply(first, [])
        found, expected = background.apply(second, []), first.copy()
        for number, target in enumerate(split(expected)):
            side = 8 if number else 16
            block = (slice(2 * side, 3 * side), slice(4 * side, 5 * side))
            target[block] = split(second)[number][block]
        np.testing.assert_array_equal(found, expected)

    def test_change_in_a_block_that_the_edge_cuts(self):
        # Two columns that change by more than the threshold, a seventh of it over a whole block.
        background = BackgroundFilter(freeze_threshold=4.0)
        planes = noise(66, 66, strength=0)
        background.apply(planes, [])
        changed = painted(planes, (64, 0, 66, 66), 133)
        np.testing.assert_array_equal(background.apply(changed, []), changed)

    @pytest.mark.parametrize("place", [(33, 33), (46, 46), (62, 20)])
    def test_small_object_that_no_region_covers_is_seen(self, place):
        # 5x5 pixels change a block's mean by 25 / 256 of their contrast: 2.5 levels here.
        background = BackgroundFilter(freeze_threshold=4.0)
        first = noise(128, 96, seed=1, strength=2)
        background.apply(first, [])
        x0, y0 = place
        planes = painted(noise(128, 96, seed=2, strength=2), (x0, y0, x0 + 5, y0 + 5), 154)
        found = background.apply(planes, [])
        assert (found[y0 : y0 + 5, x0 : x0 + 5] == 154).mean() > 0.5
        assert (found == first).mean() > 0.85

    @pytest.mark.parametrize("level", [20, 125])
    @pytest.mark.parametrize("is_covered", [True, False])
    def test_no_ghost_is_left(self, level, is_covered):
        # At 125 the object is no more than the threshold away from what it hides.
        background = BackgroundFilter(freeze_threshold=4.0)
        empty = noise(128, 96, middle=128, strength=0)
        for x0 in range(0, 96, 8):
            box = (x0, 30, x0 + 32, 60)
            regions = [region(*box)] if is_covered else []
            found = background.apply(painted(empty, box, level), regions)
        found = background.apply(empty, [])
        if is_covered or level == 20:
            np.testing.assert_array_equal(found, empty)
        # An object that nobody knows of is within the threshold whatever happens.
        assert np.abs(found.astype(int) - empty).max() <= 4

    def test_region_is_live_and_its_border_blocks_are(self):
        background = BackgroundFilter(freeze_threshold=4.0)
        regions = [region(17, 17, 30, 50, weight=0.1)]
        first, second = noise(64, 64, seed=1, strength=3), noise(64, 64, seed=2, strength=3)
        background.apply(first, regions)
        found = background.apply(second, regions)
        np.testing.assert_array_equal(found[16:64, 16:32], second[16:64, 16:32])
        np.testing.assert_array_equal(found[:64, 32:], first[:64, 32:])
        np.testing.assert_array_equal(split(found)[1][8:, 8:16], split(second)[1][8:, 8:16])

    def test_light_changes_everywhere_at_once(self):
        # Half of the picture is over the threshold; the other half would be patchwork.
        background = BackgroundFilter(freeze_threshold=4.0)
        background.apply(noise(128, 128, strength=0, middle=100), [])
        brighter = painted(noise(128, 128, strength=0, middle=103), (0, 0, 64, 128), 106)
        np.testing.assert_array_equal(background.apply(brighter, []), brighter)

    def test_what_is_shown_is_never_further_than_the_threshold(self):
        background = BackgroundFilter(freeze_threshold=4.0)
        for level in np.arange(50, 80):
            planes = noise(66, 66, seed=level, middle=level, strength=1)
            found = background.apply(planes, [])
            difference = np.abs(found[:64, :64].astype(int) - planes[:64, :64])
            assert difference.reshape(4, 16, 4, 16).mean(axis=(1, 3)).max() <= 4.1

    def test_frame_that_is_used_again_by_its_owner(self):
        background = BackgroundFilter(freeze_threshold=4.0)
        planes = np.full((96, 64), 100, np.uint8)
        background.apply(planes, [])
        planes[:] = 102
        np.testing.assert_array_equal(background.apply(planes, []), 100)


class TestBits:
    def test_real_camera_needs_fewer(self, hall):
        sizes = [
            size_bytes(hall, BackgroundFilter(blur_sigma=sigma, freeze_threshold=threshold))
            for sigma, threshold in ((0.0, 0.0), (2.0, 0.0), (0.0, 4.0), (2.0, 4.0))
        ]
        plain, blurred, frozen, both = sizes
        assert blurred < 0.8 * plain
        assert frozen < 0.95 * plain
        assert both < 0.9 * min(blurred, frozen)


def size_bytes(source, background):
    """Returns what x264 needs for a source of which a quarter is a region."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = source.width, source.height, source.pix_fmt
    context.framerate, context.time_base = source.frame_rate, 1 / source.frame_rate
    context.options = {"crf": "28", "preset": "medium"}
    context.thread_count = 1
    regions = [region(0, 0, source.width // 2, source.height // 2)]
    packets = []
    for index in range(source.num_frames):
        planes = background.apply(source.planes(index), regions)
        packets += context.encode(video_frame(planes, source, index))
    return sum(packet.size for packet in [*packets, *context.encode(None)])
