"""Settings that come from the command line and the environment."""

import sys
from typing import Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict


class CommandLine(BaseSettings):
    """Gives each field a flag (--batch-size 8) and an environment variable (BATCH_SIZE=8)."""

    model_config = SettingsConfigDict(
        cli_kebab_case=True, cli_implicit_flags=True, env_ignore_empty=True
    )

    @classmethod
    def read(cls) -> Self:
        """Read both; a flag wins, and a wrong value ends the program with a sentence."""
        try:
            return CliApp.run(cls)
        except ValidationError as error:
            problem = error.errors()[0]
            names = [str(name) for name in problem["loc"]]
            where = " ".join(f"--{name.replace('_', '-')} ({name.upper()}):" for name in names)
            print(f"{where} {problem['msg']}, not {problem['input']!r}.", file=sys.stderr)
            raise SystemExit(2) from None
