"""Everything that makes a trained network: data, augmentation, losses, the loop."""
