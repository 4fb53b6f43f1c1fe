"""Every error this package raises on purpose."""


class GraftError(Exception):
    """Base of all deliberate errors; `except GraftError` never hides a bug."""


class ConfigError(GraftError):
    """A setting or flag names something that does not exist or cannot be."""


class DataError(GraftError):
    """A corpus, a record or a task file cannot be used; names the file and the record."""


class StoreError(GraftError):
    """A run's folder cannot be written, read or continued."""


class ModelError(GraftError):
    """A model folder or hub id cannot be loaded, or cannot do what is asked of it."""


class ToolError(GraftError):
    """A tool has no answer for this argument. Shown to the model, not to the operator."""
