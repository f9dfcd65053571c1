"""One file for each command: its options, the rooms it calls, what it says at the end."""
