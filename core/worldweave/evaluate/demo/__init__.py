"""Show what a base and its branches can do: one web page, a minute of work."""
