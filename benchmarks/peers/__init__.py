"""rtpose beside what users would pick instead: same machine, same clips, same boxes.

Each peer runs in processes of its own, by a script of `runners/` that speaks the few words of
`runners/protocol.py`: people in, joints out; a clip in, frames a second out.
"""
