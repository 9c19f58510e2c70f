"""The contracts between the worker and the services: small Protocols over frozen dataclasses.

They speak the language of transitions and work on batches: to acknowledge, to retry, to release
a callback and to bury a dead letter is one verb, *settle, publishing what follows*.
"""
