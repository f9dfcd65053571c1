import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rtpose.errors import RtposeError
from rtpose.shipped import shipped_detector
from rtpose.yolo import load_model
from training.average_precision import DetectionScores
from training.detector import (
    DetectorConfig,
    Evaluation,
    blend_models,
    complete_labels,
    detector_labels,
    evaluate_detector,
    fine_tune,
    load_start,
    record_scores,
    split_pictures,
    stack_pictures,
    targets,
)
from training.detector_data import LabelledPicture

START = Path(__file__).parents[3] / "shared" / "data" / "weights" / "yolo11n_coco.pt"

TINY = DetectorConfig(steps=6, batch=2, sizes=(64,), mosaic=0.0, choose_every=3, ema=0.5)


@pytest.fixture()
def picture(tmp_path):
    image = np.full((64, 64, 3), 40, np.uint8)
    image[10:60, 20:40] = 220
    cv2.imwrite(str(tmp_path / "p.png"), image)
    return LabelledPicture(tmp_path / "p.png", np.float32([[20, 10, 40, 60]]), "set", False)


def test_targets_are_flat_relative_and_numbered():
    made = targets([np.float32([[0, 0, 32, 64]]), np.zeros((0, 4), np.float32)], 64)
    assert made["batch_idx"].tolist() == [0]
    np.testing.assert_allclose(made["bboxes"], [[0.25, 0.5, 0.5, 1.0]])
    assert targets([np.zeros((0, 4), np.float32)], 64)["bboxes"].shape == (0, 4)


def test_pictures_become_rgb_between_0_and_1():
    blue = np.zeros((2, 2, 3), np.uint8)
    blue[..., 0] = 255
    np.testing.assert_array_equal(stack_pictures([blue])[0, :, 0, 0], [0, 0, 1])


def test_training_learns_a_toy_and_averages(picture):
    model, _ = load_model(shipped_detector())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    config = replace(TINY, learning_rate=1e-3, steps=12, choose_every=6)
    seen = [(step, average) for step, average in fine_tune(model, [picture], config)]
    assert [step for step, _ in seen] == [6, 12]
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    # The bin numbers of the distances are no weights; all the rest learns, first layer to last.
    assert "model.23.dfl.conv.weight" not in moved
    assert {"model.0.conv.weight", "model.23.cv2.0.2.weight", "model.23.cv3.2.2.bias"} <= moved
    averaged = dict(seen[-1][1].state_dict())
    key = "model.0.conv.weight"
    assert 0 < (averaged[key] - before[key]).norm() < (model.state_dict()[key] - before[key]).norm()


def test_incomplete_pictures_get_the_people_they_lack(picture):
    def detector(image, *, confidence):
        assert confidence == 0.3
        return np.float32([[21, 10, 40, 60], [0, 0, 10, 30]]), np.float32([0.9, 0.5])

    (done,) = complete_labels([picture], detector)
    np.testing.assert_array_equal(done.boxes, [[20, 10, 40, 60], [0, 0, 10, 30]])
    (kept,) = complete_labels([replace(picture, complete=True)], detector)
    assert len(kept.boxes) == 1


def test_blending_is_linear_in_the_weights():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    mixed = blend_models(first, second, 0.25)
    torch.testing.assert_close(mixed.weight, 0.75 * first.weight + 0.25 * second.weight)
    assert first.weight.data_ptr() != mixed.weight.data_ptr()


def test_scores_go_into_the_file_and_weights_stay(tmp_path):
    path = tmp_path / "copy.safetensors"
    path.write_bytes(shipped_detector().read_bytes())
    record_scores(path, {320: Evaluation(DetectionScores(80.04, 50.0, 1, 1), 2)})
    (before, old), (after, new) = load_model(shipped_detector()), load_model(path)
    assert new.notes["scores"] == "held back: 320 px: AP50 80.0, AP50-95 50.0"
    assert (new.size, new.confidence, new.yaml) == (old.size, old.confidence, old.yaml)
    assert torch.equal(
        before.state_dict()["model.0.conv.weight"], after.state_dict()["model.0.conv.weight"]
    )


def own_data(folder: Path, complete: int) -> Path:
    """Twelve pictures of somebody's own, of which some say that everybody has a box."""
    images = []
    for i in range(12):
        noise = np.random.default_rng(i).integers(0, 255, (4, 4, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(noise, (90, 90)))
        images.append({"id": i, "file_name": f"{i}.png"})
        if i < complete:
            images[i]["boxes_complete"] = True
    boxes = [{"image_id": i, "bbox": [10, 10, 30, 60]} for i in range(12)]
    (folder / "train.json").write_text(json.dumps({"images": images, "annotations": boxes}))
    return folder


def test_peoples_own_pictures_are_split(tmp_path):
    labels = detector_labels(own_data(tmp_path, 9), "train")
    assert labels == tmp_path / "train.json"
    split = split_pictures(labels, tmp_path, DetectorConfig())
    assert [len(part) for part in (split.train, split.choose, split.held_back)] == [7, 2, 3]
    assert all(picture.complete for picture in split.choose + split.held_back)
    names = [p.path.name for part in (split.train, split.choose, split.held_back) for p in part]
    assert len(set(names)) == 12
    # and what is made for poses alone is not learned from
    left_out = DetectorConfig(left_out=("train.json",))
    with pytest.raises(RtposeError, match="of 0 pictures 0 say"):
        split_pictures(labels, tmp_path, left_out)


def test_nothing_to_choose_by_is_said_before_training(tmp_path):
    labels = detector_labels(own_data(tmp_path, 0), "train")
    with pytest.raises(RtposeError, match="nothing to choose weights by: of 12 pictures 0 say"):
        split_pictures(labels, tmp_path, DetectorConfig())
    with pytest.raises(RtposeError, match=r"a detector learns from val\.json .* here is COCO"):
        detector_labels(tmp_path, "val")


def test_pictures_of_one_scene_are_learned_from(tmp_path):
    """Of a camera that stands still: they cannot be parted, whoever else is there."""
    own_data(tmp_path, 12)
    for i in range(6):
        data = (tmp_path / "0.png").read_bytes()
        (tmp_path / f"{i}.png").write_bytes(data)
    labels = json.loads((tmp_path / "train.json").read_text())
    for image in labels["images"][:6]:
        image["source"] = "hall"
    (tmp_path / "train.json").write_text(json.dumps(labels))
    split = split_pictures(tmp_path / "train.json", tmp_path, DetectorConfig())
    assert [p.source for p in split.train].count("hall") == 6
    labels["images"] = labels["images"][:6]
    labels["annotations"] = labels["annotations"][:6]
    (tmp_path / "train.json").write_text(json.dumps(labels))
    with pytest.raises(RtposeError, match="not all of one scene"):
        split_pictures(tmp_path / "train.json", tmp_path, DetectorConfig())


def test_nobody_to_find(picture):
    nobody = replace(picture, boxes=np.zeros((0, 4), np.float32))
    with pytest.raises(RtposeError, match="none of 1 pictures has a person's box"):
        evaluate_detector(nobody.path, [nobody], "fp32")


def test_start_must_exist(tmp_path):
    with pytest.raises(RtposeError, match="no such file"):
        load_start(tmp_path / "none.pt")


@pytest.mark.skipif(not START.is_file(), reason="needs the shared data's yolo11n_coco.pt")
def test_start_keeps_the_skill_for_persons():
    from rtpose.offline import import_ultralytics

    whole = import_ultralytics().YOLO(str(START)).model.eval()
    ours, yaml = load_start(START)
    picture = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected, actual = whole(picture)[0][:, :5], ours.eval()(picture)[0]
    torch.testing.assert_close(actual, expected)
    assert "yaml_file" not in yaml
