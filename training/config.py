"""Training configurations: typed dataclasses, read from YAML, every key checked."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from rtpose.errors import RtposeError

_CHECKED = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
Part = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=_CHECKED)
class NetworkConfig:
    """Shape of the network, see `rtpose.network.Architecture`.

    Attributes
    ----------
    long_links : {"closed", "open"}
        Whether the links from hourglasses before the last one begin at zero, so that training
        starts as a chain, or like all other weights, as in the paper.
    """

    stacks: Count
    channels: Count
    connect: Literal["dense", "chain", "early"] = "dense"
    depth: Count = 4
    long_links: Literal["closed", "open"] = "closed"
    skeleton: str = "body21"


@dataclass(frozen=True, config=_CHECKED)
class PhaseConfig:
    """A stretch of training at one crop size (pixels), `images` long."""

    size: Count
    images: Count


@dataclass(frozen=True, config=_CHECKED)
class OptimiserConfig:
    """What moves the weights, and how fast.

    Attributes
    ----------
    name : {"adamw", "muon"}
        With ``muon`` the hidden convolutions learn by `training.muon`, the first and the last
        ones, norms and biases by AdamW.
    betas : (float, float)
        AdamW's.
    momentum : float
        Muon's.
    schedule : {"cosine", "steps"}
        After a linear warm-up: a cosine down to `final` times the rate, or at each of `drops`
        (parts of the run, 0 to 1) `factor` times the rate before.
    """

    name: Literal["adamw", "muon"] = "adamw"
    rate: Amount = 2e-3
    momentum: Part = 0.95
    betas: tuple[Part, Part] = (0.9, 0.99)
    weight_decay: Amount = 0.01
    warmup_steps: Annotated[int, Field(ge=0)] = 300
    schedule: Literal["cosine", "steps"] = "cosine"
    final: float = 0.01
    drops: tuple[float, ...] = ()
    factor: float = 0.1
    clip_norm: Amount = 5.0
    ema_decay: Part = 0.999


@dataclass(frozen=True, config=_CHECKED)
class AugmentConfig:
    """Ranges of the random changes, see `training.augment` and `training.bystanders`."""

    scale: float = 0.3
    rotation_deg: float = 40.0
    upside_down: float = 0.03
    shift: float = 0.08
    flip: float = 0.5
    colour: float = 0.25
    grey: float = 0.05
    occlusion: float = 0.3
    half_body: float = 0.15
    bystander: float = 0.0


STILL = AugmentConfig(**{spec.name: 0.0 for spec in dataclasses.fields(AugmentConfig)})
"""Nothing is changed."""


@dataclass(frozen=True, config=_CHECKED)
class DataConfig:
    """How often each source is drawn, and how far labels are trusted.

    Attributes
    ----------
    source_weights : dict of str to float
        Relative chance of a person of that source; 1 where a source is not named.
    teacher_weight : float
        Weight in the loss of a joint that only the teacher network labelled, times its score.
    disputed : tuple of str
        Sources whose human label is dropped where a confident teacher puts the joint elsewhere.
    """

    source_weights: dict[str, Amount] = field(default_factory=dict)
    teacher_weight: Amount = 0.7
    disputed: tuple[str, ...] = ()


@dataclass(frozen=True, config=_CHECKED)
class TrainConfig:
    """A whole training run.

    Attributes
    ----------
    loss : {"cross_entropy", "mse"}
        See `training.losses`.
    sigma : float
        Standard deviation of the target Gaussian as a part of the heatmap's side.
    absent_weight : float
        Weight of a joint that the random changes moved out of the crop: it teaches the network to
        answer "nowhere", a flat map, instead of a place at the edge.
    batch_norm : {"batch", "fixed"}
        Whose statistics batch norm goes by: each batch's while it learns, and those of all pictures
        afterwards; or all the time those of the weights it starts from.
    """

    network: NetworkConfig
    phases: Annotated[tuple[PhaseConfig, ...], Field(min_length=1)]
    batch: Count = 64
    seed: int = 0
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    sigma: Annotated[float, Field(gt=0)] = 1 / 32
    absent_weight: Amount = 0.0
    batch_norm: Literal["batch", "fixed"] = "batch"
    optimiser: OptimiserConfig = OptimiserConfig()
    augment: AugmentConfig = AugmentConfig()
    data: DataConfig = DataConfig()


class _Loader(yaml.SafeLoader):
    """Also takes 1e-3 for a number, as YAML 1.2 and Python do; PyYAML wants 1.0e-3."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_config(path: Path) -> TrainConfig:
    """Read a YAML file into a `TrainConfig`.

    Raises
    ------
    RtposeError
        If the file is missing or not YAML, or a key is unknown (the nearest valid one is named),
        missing, of the wrong type or out of range.
    """
    try:
        mapping = yaml.load(path.read_text(), _Loader)
    except FileNotFoundError:
        raise RtposeError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RtposeError(f"{path}: not readable as YAML: {error}") from error
    return parse(mapping, str(path))


def parse(mapping: object, where: str) -> TrainConfig:
    """Keys and values as a `TrainConfig`; `where` is put before every complaint.

    Raises
    ------
    RtposeError
        As `read_config`, naming the first fault.
    """
    try:
        # by way of JSON, in which lists may stand for tuples and yet no text for a number
        return _ADAPTER.validate_json(json.dumps(mapping, default=str))
    except ValidationError as error:
        fault = error.errors()[0]
    *place, last = fault["loc"] or ("",)
    inside = "".join(f"[{key}]" if isinstance(key, int) else f": {key}" for key in place)
    if fault["type"] == "unexpected_keyword_argument":
        near = difflib.get_close_matches(str(last), _NAMES, n=1, cutoff=0.0)[0]
        raise RtposeError(f"{where}{inside}: unknown key {last!r}; did you mean {near!r}?")
    if fault["type"] == "missing" and isinstance(last, str):
        raise RtposeError(f"{where}{inside}: key {last!r} is missing")
    inside += f"[{last}]" if isinstance(last, int) else f": {last}" if last else ""
    said = re.sub("^(Input|Tuple) should", "must", fault["msg"]).replace(" after validation", "")
    given = "" if ", not " in said else f", not {fault['input']!r}"
    raise RtposeError(f"{where}{inside}: {said}{given}")


_ADAPTER = TypeAdapter(TrainConfig)
_PARTS = (TrainConfig, NetworkConfig, PhaseConfig, OptimiserConfig, AugmentConfig, DataConfig)
_NAMES = [spec.name for part in _PARTS for spec in dataclasses.fields(part)]


def write_config(config: TrainConfig, path: Path) -> None:
    """Write all settings, defaults too, so that `read_config` gives the same again."""
    path.write_text(yaml.safe_dump(_ADAPTER.dump_python(config, mode="json"), sort_keys=False))


def first_difference(old: object, new: object) -> str | None:
    """The first setting in which two configs differ, as "key was this, now that"; None if none."""
    return next(_differences(old, new, ""), None)


def _differences(old: object, new: object, where: str) -> Iterator[str]:
    if dataclasses.is_dataclass(old) and dataclasses.is_dataclass(new):
        for spec in dataclasses.fields(old):
            pair = getattr(old, spec.name), getattr(new, spec.name)
            yield from _differences(*pair, f"{where}: {spec.name}" if where else spec.name)
    elif isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        for i, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(*pair, f"{where}[{i}]")
    elif old != new:
        yield f"{where} was {_shown(old)}, now {_shown(new)}"


def _shown(value: object) -> str:
    return f"{len(value)} entries" if isinstance(value, tuple) else repr(value)
