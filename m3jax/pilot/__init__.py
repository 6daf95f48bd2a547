"""Small language models trained in JAX, to make a run table from two texts."""
