"""The HTTP side of Triton: routers by domain, msgspec on the wire, one error shape, the SSE feed."""
