"""How fast and how exact, on this machine: what `rtpose bench` measures and shows."""
