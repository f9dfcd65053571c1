"""Tell from a folder which data set it holds, and hand out its splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rtpose.datasets.coco import own_folder, read_coco, split_of
from rtpose.datasets.flic import read_flic
from rtpose.datasets.lsp import is_extended, read_lsp
from rtpose.datasets.mpii import read_mpii
from rtpose.datasets.people import People
from rtpose.errors import RtposeError
from rtpose.skeleton import Skeleton

_VAL_TOO = ("valid", "validation")
"""What others call the people whom weights are chosen by."""

_SPLITS = ("train", "val", *_VAL_TOO, "test")

ReadSplit = Callable[[Skeleton], People]


@dataclass(frozen=True)
class DataSet:
    """What a folder holds.

    Attributes
    ----------
    format : str
        Whose format the labels are in.
    pictures : Path
        Folder that the names in `People.pictures` are relative to.
    splits : mapping of str to callable
        Reads a split's people in a skeleton's joints; the names are the set's own.
    wanting : tuple of str
        Parts that the set has officially and that are not here, a sentence each.
    get : str
        Where the pictures come from and where they belong.
    coco : mapping of str to Path
        The splits' files where they are COCO-format json, for what only its own fields tell.
    """

    format: str
    pictures: Path
    splits: Mapping[str, ReadSplit]
    wanting: tuple[str, ...]
    get: str
    coco: Mapping[str, Path] = field(default_factory=dict)

    def read(self, split: str, skeleton: Skeleton) -> People:
        """Read the people of a split.

        Raises
        ------
        RtposeError
            If the set has no such split, or its labels cannot be read.
        """
        if split not in self.splits:
            raise RtposeError(
                f"{self.format} in {self.pictures} has no split {split!r}; "
                f"it has {', '.join(self.splits)}"
            )
        return self.splits[split](skeleton)


def find_dataset(folder: Path) -> DataSet:
    """Find a data set by its label files.

    ==============  =============================================================================
    format          files
    ==============  =============================================================================
    MPII            ``mpii_annotations.json[.gz]``, or ``annot/train.json`` and
                    ``annot/valid.json``, or ``mpii_human_pose_v1_u12_1.mat`` with ``valid.h5``;
                    ``images/``; ``detections_our_format.mat`` or ``gt_valid.mat`` for head boxes
    FLIC            ``train.h5``, ``valid.h5``, ``images/``; labels may lie in ``annot/``
    LSP, LSPET      ``joints.mat``, ``images/``
    COCO            ``NAME.json[.gz]`` for each split, or ``NAME/_annotations.coco.json``, or
                    ``annotations/NAME.json``, pictures as the json names them, from here or from
                    ``NAME/``, ``images/NAME/`` or ``images/``; or COCO's own and CVAT's
                    ``annotations/person_keypoints_NAME[2017].json`` and ``NAME[2017]/``
    ==============  =============================================================================

    A split called ``valid`` or ``validation`` is ``val``, ``Train`` is ``train``.

    Raises
    ------
    RtposeError
        If there is no such folder, or no labels in it.
    """
    if folder.is_file():
        raise RtposeError(f"{folder} is a file; name the folder of the data set that it is of")
    if not folder.is_dir():
        raise RtposeError(f"{folder}: no such folder")
    for find in (_find_mpii, _find_flic, _find_lsp, _find_coco):
        found = find(folder)
        if found is not None:
            return found
    raise RtposeError(
        f"{folder}: no labels found; a data set has COCO-format json files such as train.json "
        "and val.json, MPII's mpii_annotations.json, FLIC's train.h5 and valid.h5, or LSP's "
        "joints.mat"
    )


def _find_mpii(folder: Path) -> DataSet | None:
    heads = _first(folder, "detections_our_format.mat", "gt_valid.mat")
    whole = _first(
        folder,
        "mpii_annotations.json",
        "mpii_annotations.json.gz",
        "mpii_human_pose_v1_u12_1.mat",
    )
    train = whole or _first(folder, "mpii_train.json", "annot/train.json")
    val = whole or _first(folder, "mpii_val.json", "annot/valid.json")
    splits: dict[str, ReadSplit] = {}
    if train:
        splits["train"] = partial(read_mpii, train, "train")
    if val:
        splits["val"] = partial(read_mpii, val, "val", heads=heads)
    if not splits:
        return None
    wanting = []
    if "train" not in splits:
        wanting.append("no training labels (annot/train.json)")
    if "val" not in splits:
        wanting.append("no validation labels (annot/valid.json)")
    if heads is None:
        wanting.append(
            "no head boxes (detections_our_format.mat or gt_valid.mat, in the archives of "
            "HRNet's and Tompson's MPII annotations): PCKh takes 0.75 of neck to head top instead"
        )
    return DataSet(
        "MPII Human Pose", _pictures(folder), splits, tuple(wanting),
        "mpii_human_pose_v1.tar.gz (12 GB) from http://human-pose.mpi-inf.mpg.de, unpacked to "
        f"{folder / 'images'}",
    )  # fmt: skip


def _find_flic(folder: Path) -> DataSet | None:
    files = {
        split: path
        for split, name in (("train", "train.h5"), ("val", "valid.h5"))
        if (path := _first(folder, name)) is not None
    }
    if not files:
        return None
    wanting = tuple(f"no {name} labels" for name in ("train", "val") if name not in files)
    splits = {split: partial(read_flic, path) for split, path in files.items()}
    return DataSet(
        "FLIC", _pictures(folder), splits, wanting,
        "FLIC.zip from https://bensapp.github.io/flic-dataset.html, its pictures unpacked to "
        f"{folder / 'images'}",
    )  # fmt: skip


def _find_lsp(folder: Path) -> DataSet | None:
    labels = _first(folder, "joints.mat")
    if labels is None:
        return None
    pictures = _pictures(folder)
    if is_extended(labels):
        return DataSet(
            "LSP-Extended", pictures, {"train": partial(read_lsp, labels, "train")}, (),
            "lspet_dataset.zip from https://sam.johnson.io/research/lspet.html, unpacked to "
            f"{folder}",
        )  # fmt: skip
    return DataSet(
        "Leeds Sports Poses",
        pictures,
        {"train": partial(read_lsp, labels, "train"), "test": partial(read_lsp, labels, "test")},
        (),
        f"lsp_dataset.zip from https://sam.johnson.io/research/lsp.html, unpacked to {folder}",
    )


def _find_coco(folder: Path) -> DataSet | None:
    files = {
        split_of(labels).lower(): labels
        for labels in sorted((*folder.glob("*.json"), *folder.glob("*.json.gz")))
    }
    files |= {split_of(path).lower(): path for path in folder.glob("*/_annotations.coco.json")}
    for name in _SPLITS:  # beside them COCO has other files, such as captions
        beside = _first(folder / "annotations", f"{name}.json", f"{name}.json.gz")
        if beside is not None:
            files[name] = beside
    for labels in sorted(folder.glob("annotations/person_keypoints_*.json*")):
        files[split_of(labels).lower().removesuffix("2017")] = labels
    splits: dict[str, ReadSplit] = {
        name: partial(_read_split, labels, folder) for name, labels in files.items()
    }
    if not splits:
        return None
    for name in _VAL_TOO:
        if "val" not in splits and name in splits:
            splits["val"], files["val"] = splits.pop(name), files.pop(name)
    order = sorted(splits, key=lambda name: (name != "train", name != "val", name))
    return DataSet(
        "COCO keypoints", folder, {name: splits[name] for name in order},
        tuple(f"no {name} split" for name in ("train", "val") if name not in splits),
        f"the pictures that the json files name, relative to {folder}; COCO's own are at "
        "https://cocodataset.org", files,
    )  # fmt: skip


def _read_split(labels: Path, folder: Path, skeleton: Skeleton) -> People:
    """Read a split whose pictures lie in the data set's folder, or in one of `own_folder`."""
    people = read_coco(labels, skeleton)
    own = own_folder(folder, labels, people.pictures)
    return replace(people, pictures=tuple(own + picture for picture in people.pictures))


def _first(folder: Path, *names: str) -> Path | None:
    """The first of the files that is there, in the folder or where its authors put labels."""
    for name in names:
        for path in (folder / name, folder / "annot" / name, folder / "annotations" / name):
            if path.is_file():
                return path
    return None


def _pictures(folder: Path) -> Path:
    return folder / "images" if (folder / "images").is_dir() else folder
