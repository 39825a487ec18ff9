import os

# For a model this small, a second thread costs more than it brings. Set before any import reads it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
