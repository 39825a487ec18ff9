"""The GPU code that wheels hold, measured: docs/kernels.md."""
