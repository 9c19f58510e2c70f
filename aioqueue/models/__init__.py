"""Data: what users write and what crosses the wire. Frozen pydantic models."""
