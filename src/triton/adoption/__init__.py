"""Moving the queues of other brokers into Triton."""
