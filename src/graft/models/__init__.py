"""Frozen models behind two small contracts; the border to other people's libraries."""
