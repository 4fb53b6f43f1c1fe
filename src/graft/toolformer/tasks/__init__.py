"""Tasks: questions that a language model continues, and how its continuation is judged."""
