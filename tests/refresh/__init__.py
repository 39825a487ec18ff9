"""Tests of the refresh, and the world that they read: a registry and stand-ins on loopback."""
