"""Webhooks: signed requests that submit jobs, and job events that are sent as signed requests."""
