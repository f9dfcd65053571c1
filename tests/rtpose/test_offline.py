import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, socket, sys
def refuse(*a, **k): raise AssertionError(f"network: {a}")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
before = dict(os.environ)
from rtpose.offline import import_openvino, import_ultralytics
nn = import_ultralytics("ultralytics.nn.tasks")
assert nn.__name__ == "ultralytics.nn.tasks"
import ultralytics.utils as u
assert not u.ONLINE and not u.AUTOINSTALL
assert "OMP_NUM_THREADS" not in os.environ and "YOLO_CONFIG_DIR" not in os.environ
ov = import_openvino()
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub"
print(u.USER_CONFIG_DIR, file=sys.stderr)
"""


def test_imports_are_silent_offline_and_leave_nothing_behind(tmp_path):
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("YOLO_") and key not in ("OMP_NUM_THREADS", "XDG_CONFIG_HOME")
    }
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.rglob("*")) == []
    settings = done.stderr.strip().splitlines()[-1]
    assert "rtpose-ultralytics-" in settings
    assert not Path(settings).exists()
