"""What tests and benchmarks share: projects made from the template, package indexes, Docker."""
