"""Scripts that measure; what they measured lies in results/."""
