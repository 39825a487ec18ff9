"""Serving under load: what a generated server must survive, and how fast it is beside others."""
