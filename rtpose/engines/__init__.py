"""Ways to run a pose network: crops in, heatmaps out; one file each."""
