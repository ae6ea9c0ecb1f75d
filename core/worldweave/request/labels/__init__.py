"""Labels: what each pixel is, and what follows for maps."""
