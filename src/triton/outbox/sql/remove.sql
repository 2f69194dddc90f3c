DELETE FROM triton_outbox WHERE id = ANY(%s)
