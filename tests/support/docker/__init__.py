"""A real Docker for tests and benchmarks: client, daemon, base images, the images of projects."""
