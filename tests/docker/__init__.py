"""Tests of the image, built and run with a real Docker; a package, to which fixtures can belong."""
