"""LogiCls tells, for each photo of a product, which of its rules is broken and what it saw."""

__version__ = "0.1.0"
