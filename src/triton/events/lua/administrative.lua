-- Included: how an event is appended that belongs to no job.
local function append_administrative(kind, by, tenant, data, correlation)
  append({ id = '', version = -1, attempt = 0, causation = '', correlation = correlation, traceparent = '',
    tenant = tenant, queue = '' }, kind, by, data)
end
