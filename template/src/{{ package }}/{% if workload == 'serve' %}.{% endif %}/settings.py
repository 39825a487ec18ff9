"""The settings of the server, and yours: `uv run main.py --help` lists them."""

from .runtime.serve_settings import ServerSettings


class ServeSettings(ServerSettings):
    """Each setting is a flag (--port 80) and an environment variable (PORT=80); the flag wins."""
