"""Restoring Redis from the archive and PostgreSQL.

What is known of the log is read once more (`known`, `entries`); what Redis must hold for each job follows
from it (`jobs`, pure); it is written while nobody else may (`writing`), and a new epoch is declared
(`declaring`).
"""
