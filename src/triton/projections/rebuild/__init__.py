"""Rebuilding a projection while it serves: a shadow is filled, compared, switched in, kept until finalized.

A shadow is the same projection beside the live one, with tables and bookkeeping of its own (`shadow`,
`postgres_tables`, `clickhouse_tables`); `fill` brings it up to the log, `compare_*` says how it differs,
`switch` puts it in the live one's place and back, `running` is all of it for commands, `telling` what they
are told.
"""
