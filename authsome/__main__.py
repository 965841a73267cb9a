"""`python -m authsome`."""

from authsome.cli import main

main()
