"""Annotators: each draws one kind of condition out of a picture, without downloaded weights."""
