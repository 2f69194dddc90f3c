"""Expiry: segments of the archive whose events all outlived their retention go, and the log says which."""
