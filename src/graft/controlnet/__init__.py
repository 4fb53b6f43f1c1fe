"""A frozen diffusion model is taught to follow a spatial condition (Zhang et al. 2023)."""
