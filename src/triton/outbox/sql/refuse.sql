UPDATE triton_outbox SET refused_at = clock_timestamp(), error = %s WHERE id = %s
