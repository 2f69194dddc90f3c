"""The same no-op application twice, as Dramatiq's command line runs it: only the broker differs."""
