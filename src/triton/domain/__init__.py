"""The domain's data: what tenants keep in PostgreSQL and ClickHouse besides their jobs."""
