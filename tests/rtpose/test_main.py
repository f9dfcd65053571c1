import subprocess
import sys
from importlib.metadata import version


def test_the_module_is_the_command():
    run = [sys.executable, "-m", "rtpose"]
    done = subprocess.run([*run, "--version"], capture_output=True, text=True, check=True)
    assert version("rtpose") in done.stdout
    done = subprocess.run([*run, "video", "gone.mp4"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "gone.mp4" in done.stderr
