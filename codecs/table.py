"""The encoder table: every fact about an encoder that the rest of the code relies on.

Ranges and conditions are the encoders' own (x264 165, x265 216, SVT-AV1 4.1), narrowed where
the encoder accepts a value silently and then does something else. FFmpeg only logs a warning for
an unknown option, so nothing reaches an encoder that is not in this table.
"""

from __future__ import annotations

from .option import (
    AtLeast,
    Choice,
    Codec,
    Encoder,
    Floats,
    Ints,
    Option,
    OptionValue,
    Requires,
    Values,
)
from .roi import roi_options, roi_starts

__all__ = [
    "ENCODERS",
    "AtLeast",
    "Choice",
    "Codec",
    "Encoder",
    "Floats",
    "Ints",
    "Option",
    "OptionValue",
    "Requires",
    "Values",
]

_FLAG = Ints(0, 1)

# Caps the rate beside the CRF. x264 and x265 ignore one of the two without the other, silently.
_MOST_KBPS = 1_000_000
_MOST_KBPS_OF_SVTAV1 = 100_000
_VBV = (
    Option(name="vbv-maxrate", default=0, values=Ints(1, _MOST_KBPS),
           requires=(Requires("vbv-bufsize", AtLeast(1)),),
           doc="most kbit/s that fill the decoder's buffer"),
    Option(name="vbv-bufsize", default=0, values=Ints(1, _MOST_KBPS),
           requires=(Requires("vbv-maxrate", AtLeast(1)),),
           doc="size of that buffer in kbit"),
)  # fmt: skip

_X264_PRESETS = (
    "placebo", "veryslow", "slower", "slow", "medium",
    "fast", "faster", "veryfast", "superfast", "ultrafast",
)  # fmt: skip

# At these presets x264 makes no decision by rate-distortion (subme below 6), which psy-rd biases.
_X264_NO_RD = ("ultrafast", "superfast", "veryfast", "faster")
_X264_NO_LOOKAHEAD = ("ultrafast", "superfast")

_X264 = Encoder(
    codec="x264",
    ffmpeg_name="libx264",
    decoder_name="h264",
    library="libx264",
    params_name="x264-params",
    fixed_params="threads={threads}",
    # x264 165's AVX-512 code lets memory that it never wrote into mbtree (at 176 and 320 pixels
    # width, not at 640): one encode in 150 came out up to 4 % off. AVX2 gives the bytes of the
    # other 149.
    avx512_params="asm=avx2",
    crf_param=None,
    presets=_X264_PRESETS,
    default_preset="medium",
    crf_range=(0, 51, 0.1),
    search_crf=(8, 51),
    qp_range=(0, 51),
    max_kbps=_MOST_KBPS,
    options=(
        Option(name="aq-mode", default=1, values=Ints(0, 3), search=Ints(0, 3),
               doc="adaptive quantisation: off, variance, auto-variance, with dark bias"),
        Option(name="aq-strength", default=1.0, values=Floats(0, 3, 0.1),
               search=Floats(0.2, 2, 0.1), requires=(Requires("aq-mode", (1, 2, 3)),),
               doc="strength of adaptive quantisation"),
        Option(name="psy-rd", default=1.0, values=Floats(0, 10, 0.1), search=Floats(0, 1.6, 0.2),
               not_presets=_X264_NO_RD, part_of="psy-rd",
               doc="keeps visual energy; costs bits a machine may not need"),
        Option(name="deblock-alpha", default=0, values=Ints(-6, 6), search=Ints(-3, 3),
               part_of="deblock", doc="deblocking strength"),
        Option(name="deblock-beta", default=0, values=Ints(-6, 6), search=Ints(-3, 3),
               part_of="deblock", doc="deblocking threshold"),
        Option(name="mbtree", default=1, values=_FLAG, search=_FLAG,
               not_presets=_X264_NO_LOOKAHEAD, doc="spends bits on blocks that later frames copy"),
        Option(name="qcomp", default=0.6, values=Floats(0, 1, 0.05), search=Floats(0.5, 1, 0.05),
               doc="0 constant bitrate, 1 constant quantiser over time"),
        Option(name="trellis", default=1, values=Ints(0, 2), search=Ints(0, 2),
               doc="rate-distortion optimal quantisation; 2 is 1 at faster and quicker"),
        Option(name="psy-trellis", default=0.0, values=Floats(0, 10, 0.05),
               requires=(Requires("trellis", (1, 2)),), part_of="psy-rd",
               doc="the same in trellis"),
        Option(name="no-dct-decimate", default=0, values=_FLAG, search=_FLAG,
               doc="keeps near-empty blocks"),
        Option(name="deadzone-inter", default=21, values=Ints(0, 32), search=Ints(6, 32),
               requires=(Requires("trellis", (0,)),), doc="rounding of inter coefficients"),
        Option(name="deadzone-intra", default=11, values=Ints(0, 32), search=Ints(4, 32),
               requires=(Requires("trellis", (0,)),), doc="rounding of intra coefficients"),
        Option(name="chroma-qp-offset", default=0, values=Ints(-12, 12), search=Ints(-4, 8),
               doc="chroma against luma quantiser"),
        Option(name="cqm", default="flat", values=Choice(("flat", "jvt")),
               search=Choice(("flat", "jvt")), doc="quantisation matrix"),
        Option(name="bframes", default=3, values=Ints(0, 16), search=Ints(0, 8),
               doc="most B-frames in a row"),
        Option(name="weightp", default=2, values=Ints(0, 2), search=Ints(0, 2),
               not_presets=("ultrafast",), doc="weighted prediction of P-frames"),
        Option(name="ipratio", default=1.4, values=Floats(1, 2, 0.05),
               doc="quantiser of P over I frames; no effect on a stream's first frame"),
        Option(name="pbratio", default=1.3, values=Floats(1, 2, 0.05),
               requires=(Requires("mbtree", (0,)),), not_presets=("ultrafast",),
               doc="quantiser of B over P frames"),
        Option(name="ref", default=3, values=Ints(1, 16), doc="reference frames"),
        # Without lookahead x264 switches mbtree off and says so in a warning.
        Option(name="rc-lookahead", default=40, values=Ints(1, 250),
               not_presets=_X264_NO_LOOKAHEAD, doc="frames looked ahead"),
        Option(name="scenecut", default=40, values=Ints(0, 100), doc="scene change threshold"),
        Option(name="keyint", default=250, values=Ints(1, 1000),
               doc="longest distance of keyframes, in frames"),
        *_VBV,
        Option(name="stitchable", default=0, values=_FLAG,
               doc="headers that do not depend on the CRF, so that streams can be joined"),
        *roi_options(1),
    ),
    # As x264 writes them into its streams. At ultrafast it does not deblock at all.
    preset_defaults=(
        ("placebo", (("bframes", 16), ("rc-lookahead", 60), ("ref", 16), ("trellis", 2))),
        ("veryslow", (("bframes", 8), ("rc-lookahead", 60), ("ref", 16), ("trellis", 2))),
        ("slower", (("rc-lookahead", 60), ("ref", 8), ("trellis", 2))),
        ("slow", (("rc-lookahead", 50), ("ref", 5), ("trellis", 2))),
        ("fast", (("rc-lookahead", 30), ("ref", 2), ("weightp", 1))),
        ("faster", (("rc-lookahead", 20), ("ref", 2), ("weightp", 1))),
        ("veryfast", (("rc-lookahead", 10), ("ref", 1), ("trellis", 0), ("weightp", 1))),
        ("superfast", (("mbtree", 0), ("rc-lookahead", 0), ("ref", 1), ("trellis", 0),
                       ("weightp", 1))),
        ("ultrafast", (("aq-mode", 0), ("bframes", 0), ("deblock-alpha", None),
                       ("deblock-beta", None), ("mbtree", 0), ("rc-lookahead", 0), ("ref", 1),
                       ("scenecut", 0), ("trellis", 0), ("weightp", 0))),
    ),
    starts=(
        (("aq-mode", 0), ("psy-rd", 0.0)),
        (("aq-mode", 3), ("aq-strength", 0.8), ("psy-rd", 0.0), ("qcomp", 0.8)),
        (("bframes", 8), ("deblock-alpha", 1), ("deblock-beta", 1), ("psy-rd", 0.0)),
    ),
    roi_starts=roi_starts(1),
    roi_by_side_data=True,
    roi_rate_control=("crf", "bitrate"),
    roi_block=16,
    join_options=(("stitchable", 1),),
)  # fmt: skip

# These set both aq-mode and aq-strength to 0: either alone does nothing.
_X265_NO_AQ = ("ultrafast", "superfast")
# Of the presets from slow on.
_X265_SLOW = (("psy-rdoq", 1.0), ("rdoq-level", 2), ("rect", 1))

_X265 = Encoder(
    codec="x265",
    ffmpeg_name="libx265",
    decoder_name="hevc",
    library="libx265",
    params_name="x265-params",
    # No pool, since x265's output depends on the number of frame threads. No info, since x265
    # writes 2.4 kB about itself into each stream: a fifth of a short one at a low rate.
    fixed_params="log-level=error:info=0:pools=none:frame-threads={threads}",
    crf_param=None,
    presets=_X264_PRESETS,
    default_preset="medium",
    crf_range=(0, 51, 0.1),
    search_crf=(8, 51),
    qp_range=(0, 51),
    max_kbps=_MOST_KBPS,
    options=(
        Option(name="aq-mode", default=2, values=Ints(0, 4), search=Ints(0, 4),
               not_presets=_X265_NO_AQ,
               doc="adaptive quantisation: off, variance, auto, dark bias, edges"),
        Option(name="aq-strength", default=1.0, values=Floats(0, 3, 0.1),
               search=Floats(0.2, 2, 0.1), requires=(Requires("aq-mode", (1, 2, 3, 4)),),
               not_presets=_X265_NO_AQ, doc="strength of adaptive quantisation"),
        Option(name="psy-rd", default=2.0, values=Floats(0, 5, 0.1), search=Floats(0, 3, 0.25),
               doc="keeps visual energy; costs bits a machine may not need"),
        Option(name="rdoq-level", default=0, values=Ints(0, 2), search=Ints(0, 2),
               doc="rate-distortion optimal quantisation"),
        Option(name="psy-rdoq", default=0.0, values=Floats(0, 50, 0.1), search=Floats(0, 4, 0.5),
               requires=(Requires("rdoq-level", (1, 2)),), doc="keeps energy in rdoq"),
        Option(name="deblock-tc", default=0, values=Ints(-6, 6), search=Ints(-3, 3),
               part_of="deblock", doc="deblocking strength"),
        Option(name="deblock-beta", default=0, values=Ints(-6, 6), search=Ints(-3, 3),
               part_of="deblock", doc="deblocking threshold"),
        Option(name="sao", default=1, values=_FLAG, search=_FLAG, doc="sample adaptive offset"),
        Option(name="limit-sao", default=0, values=_FLAG, requires=(Requires("sao", (1,)),),
               doc="fewer SAO decisions"),
        Option(name="qcomp", default=0.6, values=Floats(0.5, 1, 0.05),
               search=Floats(0.5, 1, 0.05), doc="1 is a constant quantiser over time"),
        Option(name="cutree", default=1, values=_FLAG, search=_FLAG,
               doc="spends bits on blocks that later frames copy"),
        Option(name="cbqpoffs", default=0, values=Ints(-12, 12), search=Ints(-4, 8),
               doc="Cb against luma quantiser"),
        Option(name="crqpoffs", default=0, values=Ints(-12, 12), search=Ints(-4, 8),
               doc="Cr against luma quantiser"),
        Option(name="strong-intra-smoothing", default=1, values=_FLAG, search=_FLAG,
               doc="smooths 32x32 intra prediction"),
        Option(name="tskip", default=0, values=_FLAG, search=_FLAG,
               not_presets=("ultrafast", "superfast", "veryfast", "faster", "fast"),
               doc="4x4 blocks without a transform"),
        # Must stay below rc-lookahead, which is 5 at ultrafast and 10 or more at the others.
        Option(name="bframes", default=4, values=Ints(0, 8), search=Ints(0, 8),
               not_presets=("ultrafast",), doc="most B-frames in a row"),
        Option(name="ipratio", default=1.4, values=Floats(1, 2, 0.05),
               doc="quantiser of P over I frames; no effect on a stream's first frame"),
        Option(name="pbratio", default=1.3, values=Floats(1, 2, 0.05),
               requires=(Requires("cutree", (0,)),), doc="quantiser of B over P frames"),
        Option(name="qg-size", default=32, values=Choice((16, 32, 64)),
               doc="block size that a quantiser is chosen for; at ultrafast and superfast, "
                   "whose blocks are no larger, 64 is 32"),
        Option(name="nr-inter", default=0, values=Ints(0, 2000), search=Ints(0, 600),
               doc="noise reduction in inter blocks"),
        Option(name="nr-intra", default=0, values=Ints(0, 2000), doc="the same in intra blocks"),
        Option(name="rect", default=0, values=_FLAG, doc="rectangular partitions; slow"),
        Option(name="ref", default=3, values=Ints(1, 8), doc="reference frames"),
        Option(name="rc-lookahead", default=20, values=Ints(9, 250), doc="frames looked ahead"),
        Option(name="scenecut", default=40, values=Ints(0, 100), doc="scene change threshold"),
        Option(name="keyint", default=250, values=Ints(1, 1000),
               doc="longest distance of keyframes, in frames"),
        *_VBV,
        Option(name="open-gop", default=1, values=_FLAG,
               doc="frames before a keyframe may refer to ones before it; 0 to cut there"),
        *roi_options(1),
    ),
    # As x265 writes them into its streams, but for aq-mode, which it writes as 1 of strength 0.
    preset_defaults=(
        ("placebo", (*_X265_SLOW, ("bframes", 8), ("rc-lookahead", 60), ("ref", 5), ("tskip", 1))),
        ("veryslow", (*_X265_SLOW, ("bframes", 8), ("rc-lookahead", 40), ("ref", 5))),
        ("slower", (*_X265_SLOW, ("bframes", 8), ("rc-lookahead", 40), ("ref", 5))),
        ("slow", (*_X265_SLOW, ("rc-lookahead", 25), ("ref", 4))),
        ("fast", (("rc-lookahead", 15),)),
        ("faster", (("rc-lookahead", 15), ("ref", 2))),
        ("veryfast", (("rc-lookahead", 15), ("ref", 2))),
        ("superfast", (("aq-mode", 0), ("aq-strength", 0.0), ("bframes", 3), ("rc-lookahead", 10),
                       ("ref", 1), ("sao", 0))),
        ("ultrafast", (("aq-mode", 0), ("aq-strength", 0.0), ("bframes", 3), ("rc-lookahead", 5),
                       ("ref", 1), ("sao", 0), ("scenecut", 0))),
    ),
    starts=(
        (("aq-mode", 0), ("psy-rd", 0.0)),
        (("psy-rd", 0.0), ("rdoq-level", 2)),
        (("aq-mode", 3), ("aq-strength", 0.8), ("bframes", 8), ("psy-rd", 0.0)),
    ),
    roi_starts=roi_starts(1),
    roi_by_side_data=True,
    roi_rate_control=("crf", "bitrate"),
    roi_block=16,
)  # fmt: skip

# SVT-AV1's tune 4 (MS-SSIM) sets sharpness, variance boost and matrices itself, drops what was
# asked, and says so only in a warning.
_NOT_TUNE_4 = Requires("tune", (0, 1, 2))
_BOOST = (Requires("enable-variance-boost", (1,)), _NOT_TUNE_4)
_QM = (Requires("enable-qm", (1,)), _NOT_TUNE_4)

# No enable-overlays: thirty encodes with it gave seven different streams.
_SVTAV1 = Encoder(
    codec="svtav1",
    ffmpeg_name="libsvtav1",
    decoder_name="libdav1d",
    library="libSvtAv1Enc",
    quiet_environment=(("SVT_LOG", "1"),),  # errors only
    params_name="svtav1-params",
    fixed_params="lp={threads}",
    crf_param="crf",  # FFmpeg's own crf is a whole number, the library takes quarters
    presets=tuple(str(number) for number in range(13)),
    default_preset="8",
    crf_range=(1, 70, 0.25),
    search_crf=(8, 70),
    qp_range=(1, 63),
    max_kbps=_MOST_KBPS_OF_SVTAV1,
    options=(
        # tune 3 is for still pictures; it fails or warns in a random access stream.
        Option(name="tune", default=1, values=Choice((0, 1, 2, 4)), search=Choice((0, 1, 2)),
               doc="visual quality, PSNR, SSIM, MS-SSIM"),
        Option(name="aq-mode", default=2, values=Choice((0, 2)), search=Choice((0, 2)),
               doc="adaptive quantisation by prediction over time; 0 switches it off"),
        Option(name="enable-variance-boost", default=0, values=_FLAG, search=_FLAG,
               requires=(_NOT_TUNE_4,), doc="more bits for flat blocks"),
        Option(name="variance-boost-strength", default=2, values=Ints(1, 4), search=Ints(1, 3),
               requires=_BOOST, doc="strength of the boost; 4 can make a noisy clip 5 x larger"),
        Option(name="variance-octile", default=5, values=Ints(1, 8), search=Ints(2, 8),
               requires=_BOOST, doc="how much of a block must be flat, in eighths"),
        Option(name="variance-boost-curve", default=0, values=Ints(0, 2), search=Ints(0, 2),
               requires=_BOOST, doc="shape of the boost"),
        Option(name="sharpness", default=0, values=Ints(-7, 7), search=Ints(-2, 5),
               requires=(_NOT_TUNE_4,), doc="deblocking and rate-distortion bias to sharpness"),
        Option(name="enable-qm", default=0, values=_FLAG, search=_FLAG,
               requires=(_NOT_TUNE_4,), doc="quantisation matrices"),
        Option(name="qm-min", default=8, values=Ints(0, 15), search=Ints(0, 10), requires=_QM,
               doc="flattest matrix is 15, steepest 0"),
        Option(name="chroma-qm-min", default=8, values=Ints(0, 15), requires=_QM,
               doc="the same for chroma"),
        Option(name="enable-tf", default=1, values=Ints(0, 2), search=Ints(0, 2),
               doc="temporal filter on key pictures: off, on, adaptive"),
        Option(name="tf-strength", default=3, values=Ints(0, 4), search=Ints(0, 4),
               requires=(Requires("enable-tf", (1,)),), doc="strength of the temporal filter"),
        Option(name="ac-bias", default=0.0, values=Floats(0, 8, 0.5), search=Floats(0, 3, 0.5),
               doc="keeps texture energy"),
        Option(name="qp-scale-compress-strength", default=0, values=Ints(0, 3),
               search=Ints(0, 3), doc="evens the quantisers of the temporal layers"),
        Option(name="luminance-qp-bias", default=0, values=Ints(0, 100), search=Ints(0, 60),
               doc="more bits for dark frames"),
        Option(name="max-tx-size", default=64, values=Choice((32, 64)), search=Choice((32, 64)),
               doc="largest transform"),
        Option(name="enable-dlf", default=1, values=Ints(0, 2), search=Ints(0, 2),
               doc="deblocking: off, on, accurate"),
        Option(name="enable-cdef", default=-1, values=Ints(-1, 1), search=Ints(-1, 0),
               doc="directional enhancement filter; -1 leaves it to the preset"),
        Option(name="enable-restoration", default=-1, values=Ints(-1, 1), search=Ints(-1, 0),
               doc="loop restoration; -1 leaves it to the preset, as 0 does from 9 on"),
        Option(name="film-grain", default=0, values=Ints(0, 50),
               doc="the decoder adds noise, which a machine sees"),
        Option(name="hierarchical-levels", default=5, values=Ints(2, 5),
               doc="depth of the temporal pyramid"),
        Option(name="mbr", default=0, values=Ints(0, _MOST_KBPS_OF_SVTAV1),
               doc="caps the rate beside the CRF, in kbit/s; 0 does not"),
        Option(name="keyint", default=-2, values=Ints(-2, 1000),
               doc="distance of keyframes, in frames; -2 is about 5 s, -1 and 0 no second one"),
        *roi_options(2),
    ),
    preset_defaults=tuple(
        (preset, (("hierarchical-levels", 4),)) for preset in ("9", "10", "11", "12")
    ),
    starts=(
        (("aq-mode", 0), ("enable-tf", 0)),
        (("qp-scale-compress-strength", 2),),
        (("tune", 2),),
    ),
    roi_starts=roi_starts(2),
    roi_by_side_data=False,
    roi_rate_control=("crf", "qp"),
    roi_block=64,
)  # fmt: skip

ENCODERS: dict[Codec, Encoder] = {row.codec: row for row in (_X264, _X265, _SVTAV1)}
