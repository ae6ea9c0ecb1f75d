"""What every page of ours is made of: its frame, its style, clips on one clock."""
