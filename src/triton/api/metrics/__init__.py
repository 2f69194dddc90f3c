"""Owns what `/metrics` says: the catalogue of all metrics, and where each figure comes from."""
