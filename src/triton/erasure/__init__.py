"""Personal data that can be erased: values are sealed under a key of their subject, kept outside the log.

`marks` says what is personal, `envelopes` how a sealed value looks, `messages` and `attempt` seal what a
job takes and says, `keyring` and the stores keep the keys, `erasing` destroys one. Nothing of it runs for an
actor that has no personal data.
"""
