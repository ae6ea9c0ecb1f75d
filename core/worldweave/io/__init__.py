"""Files to frames and back: videos, images, sizes, and safe writing."""
