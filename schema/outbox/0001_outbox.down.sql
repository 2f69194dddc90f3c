DROP TABLE triton_outbox;
DROP FUNCTION triton_outbox_wake();
