"""One training loop for any model: loop, schedule, batches and checkpoints."""
