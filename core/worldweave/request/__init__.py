"""What is asked for: the strict request, its controls, its maps."""
