"""Which clips no metric is trained on."""

from __future__ import annotations

# Each kind of scene is on both sides.
TEST_CLIPS = (
    "BasketballPass_416x240_50_png",
    "bikes_street_272p.mp4",
    "carphone_qcif.mp4",
    "face_d0_512.mp4",
    "highway_cam_240p.avi",
    "street_people_720p.mp4",
)
