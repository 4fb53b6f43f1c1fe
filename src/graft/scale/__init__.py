"""What carries a stage over its shards; the stage does not know which."""
