"""The version of the distribution, and of the contract between the core and its plugins."""

__version__ = "0.1.0"

API_VERSION = 1
"""Raised when an interface, a hook or a record changes so that an existing plugin would break."""
