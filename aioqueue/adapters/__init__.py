"""Adapters, one package a technology; they never import each other, and vendors' SDKs only here.

By technology and not by role, so that one script or transaction can acknowledge, store and publish.
"""
