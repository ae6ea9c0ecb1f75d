"""Wrong: it stops the whole program where it should raise an error."""

raise SystemExit("no licence key")
