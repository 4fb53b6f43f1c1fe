"""Graft teaches a frozen model new abilities from data that its own world annotates."""
