"""Where records rest between stages: each file whole or not at all."""
