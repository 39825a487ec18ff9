"""What it costs to bring a change to another machine: build, push, pull. `python -m` it."""
