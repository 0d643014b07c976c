"""Baybridge: a governed data exchange between agencies and with the public."""

__version__ = "0.1.0"
