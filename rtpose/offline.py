"""Import the two libraries that would otherwise phone home, so that they cannot.

ultralytics looks for updates, installs packages, writes settings into the user's home and logs to
stdout; openvino reports every import and conversion to its maker. None of it belongs into a tool
that promises to work without a network, so both must be imported through this module.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from typing import Any

_ULTRALYTICS_SETTINGS = {
    "YOLO_AUTOINSTALL": "false",
    "YOLO_OFFLINE": "true",
    "YOLO_VERBOSE": "false",
}


def import_ultralytics(module: str = "ultralytics") -> Any:
    """Import ultralytics, or a module of it, silent, offline and without touching its settings.

    The three switches stay in the environment, because ultralytics reads some of them when it is
    called and its worker processes read them again. Its settings go to a folder that is removed
    when the process ends. Where the caller has imported ultralytics before, its own choices for
    logging and settings stand.
    """
    os.environ.update(_ULTRALYTICS_SETTINGS)
    if "ultralytics" not in sys.modules:
        _import_first_time()
    return importlib.import_module(module)


def _import_first_time() -> None:
    # Imported first: ultralytics sets OMP_NUM_THREADS=1 for torch if nobody has set it.
    importlib.import_module("torch")
    kept = {name: os.environ.get(name) for name in ("YOLO_CONFIG_DIR", "OMP_NUM_THREADS")}
    # ultralytics holds on to this path, so the folder lives as long as the module.
    folder = tempfile.TemporaryDirectory(prefix="rtpose-ultralytics-")
    os.environ["YOLO_CONFIG_DIR"] = folder.name
    try:
        ultralytics = importlib.import_module("ultralytics")
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    ultralytics.__dict__["_rtpose_settings_folder"] = folder


def import_openvino() -> Any:
    """Import openvino with its telemetry left out.

    openvino sends an event on import unless ``openvino_telemetry`` cannot be imported, in which
    case it uses its own stub. A None in `sys.modules` is Python's way to say "cannot be imported".
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")
