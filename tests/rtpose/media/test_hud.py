from dataclasses import replace

from rtpose.media.hud import status_line

from .viewing import HUD


def test_the_line_for_a_terminal_ends_with_the_notice():
    numbers = "30 fps  41 ms  1 people  openvino bf16 on cpu"
    assert status_line(HUD) == numbers
    lost = replace(HUD, notice="camera lost 3 s ago, trying again")
    assert status_line(lost) == f"{numbers}  camera lost 3 s ago, trying again"
