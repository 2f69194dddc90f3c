UPDATE triton_outbox SET retry_at = clock_timestamp() + %s * interval '1 second', error = %s WHERE id = %s
