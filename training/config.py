"""Training configurations: typed dataclasses, read from YAML, every key checked."""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from rtpose.errors import RtposeError

T = TypeVar("T")


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the network, see `rtpose.network.Architecture`.

    Attributes
    ----------
    long_links : {"closed", "open"}
        Whether the links from hourglasses before the last one begin at zero, so that training
        starts as a chain, or like all other weights, as in the paper.
    """

    stacks: int
    channels: int
    connect: Literal["dense", "chain", "early"] = "dense"
    depth: int = 4
    long_links: Literal["closed", "open"] = "closed"
    skeleton: str = "body21"


@dataclass(frozen=True)
class PhaseConfig:
    """A stretch of training at one crop size (pixels), `images` long."""

    size: int
    images: int


@dataclass(frozen=True)
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
    rate: float = 2e-3
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    warmup_steps: int = 300
    schedule: Literal["cosine", "steps"] = "cosine"
    final: float = 0.01
    drops: tuple[float, ...] = ()
    factor: float = 0.1
    clip_norm: float = 5.0
    ema_decay: float = 0.999


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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

    source_weights: dict[str, float] = field(default_factory=dict)
    teacher_weight: float = 0.7
    disputed: tuple[str, ...] = ()


@dataclass(frozen=True)
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
    """

    network: NetworkConfig
    phases: tuple[PhaseConfig, ...]
    batch: int = 64
    seed: int = 0
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    sigma: float = 1 / 32
    absent_weight: float = 0.0
    optimiser: OptimiserConfig = OptimiserConfig()
    augment: AugmentConfig = AugmentConfig()
    data: DataConfig = DataConfig()


def read_config(path: Path) -> TrainConfig:
    """Read a YAML file into a `TrainConfig`.

    Raises
    ------
    RtposeError
        If the file is missing or not YAML, or a key is unknown (the nearest valid one is named),
        missing, of the wrong type or out of range.
    """
    try:
        mapping = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise RtposeError(f"{path}: no such config file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RtposeError(f"{path}: not readable as YAML: {error}") from error
    config = parse(TrainConfig, mapping, str(path))
    check_ranges(config, str(path))
    return config


def write_config(config: TrainConfig, path: Path) -> None:
    """Write all settings, defaults too, so that `read_config` gives the same again."""
    plain = json.loads(json.dumps(dataclasses.asdict(config)))  # lists instead of tuples
    path.write_text(yaml.safe_dump(plain, sort_keys=False))


def check_ranges(config: TrainConfig, where: str) -> None:
    """Refuse numbers that training could do nothing with.

    Raises
    ------
    RtposeError
        Naming the first, after `where`.
    """
    if not config.phases:
        raise RtposeError(f"{where}: phases: give at least one {{size: ..., images: ...}}")
    least: list[tuple[str, float, float]] = [
        *((f"phases[{i}]: images", phase.images, 1) for i, phase in enumerate(config.phases)),
        ("batch", config.batch, 1),
        ("absent_weight", config.absent_weight, 0),
        ("optimiser: rate", config.optimiser.rate, 0),
        ("optimiser: warmup_steps", config.optimiser.warmup_steps, 0),
        ("optimiser: weight_decay", config.optimiser.weight_decay, 0),
        ("optimiser: clip_norm", config.optimiser.clip_norm, 0),
        ("data: teacher_weight", config.data.teacher_weight, 0),
        *((f"data: source_weights.{k}", v, 0) for k, v in config.data.source_weights.items()),
    ]
    for name, value, limit in least:
        if not value >= limit:
            raise RtposeError(f"{where}: {name}: must be at least {limit}, not {value}")
    for name, share in (
        ("momentum", config.optimiser.momentum),
        ("ema_decay", config.optimiser.ema_decay),
        *((f"betas[{i}]", beta) for i, beta in enumerate(config.optimiser.betas)),
    ):
        if not 0 <= share < 1:
            raise RtposeError(f"{where}: optimiser: {name}: must be from 0 to below 1, not {share}")
    if not config.sigma > 0:
        raise RtposeError(f"{where}: sigma: must be above 0, not {config.sigma}")


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


def parse(cls: type[T], mapping: object, where: str) -> T:
    """Build dataclass `cls` from a mapping, checking keys and types all the way down.

    `where` is put before every complaint.
    """
    if not isinstance(mapping, Mapping):
        raise RtposeError(f"{where}: expected keys and values, not {mapping!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.0)[0]
            raise RtposeError(f"{where}: unknown key {key!r}; did you mean {near!r}?")
    for name, spec in fields.items():
        required = (
            spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
        )
        if required and name not in mapping:
            raise RtposeError(f"{where}: key {name!r} is missing")
    values = {k: _convert(hints[k], v, f"{where}: {k}") for k, v in mapping.items()}
    return cls(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return parse(typing.cast("type[Any]", hint), value, where)
    if origin is Literal:
        if value not in args:
            raise RtposeError(f"{where}: must be one of {', '.join(map(str, args))}, not {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise RtposeError(f"{where}: must be a list, not {value!r}")
        if args[-1] is not Ellipsis and len(value) != len(args):
            raise RtposeError(f"{where}: must have {len(args)} entries, not {len(value)}")
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise RtposeError(f"{where}: must be keys and values, not {value!r}")
        return {str(k): _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, hint):
        raise RtposeError(f"{where}: must be {hint.__name__}, not {value!r}")
    return value
