"""What a generated project does on the GPU of this machine."""
