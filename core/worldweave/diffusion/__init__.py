"""EDM diffusion: preconditioning, RES sampling, guidance, given frames. No I/O."""
