"""The command line: input and output around the stages, and no logic of its own."""
