"""Real-time human pose from pictures, videos and cameras."""
