"""Teaching a language model to use tools, from text that it annotates itself."""
