"""Let AI agents use API keys and tokens without ever holding them."""

from authsome.errors import AuthsomeError, ExitCode

__version__ = "0.1.0"

__all__ = ["AuthsomeError", "ExitCode", "__version__"]
