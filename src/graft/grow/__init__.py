"""How the embedded models were grown: what they read, and the recipe that made them."""
