"""``python -m ratesight`` and the ``ratesight`` command."""

from __future__ import annotations

from .optimizer.commands.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
