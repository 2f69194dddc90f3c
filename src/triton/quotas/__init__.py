"""What a tenant may use: jobs in a second, jobs that are not ended, stored bytes, open streams."""
